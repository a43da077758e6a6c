//! Recipes: a configuration for each document that Tidegate grew from. They are part of the binary.

use std::path::PathBuf;

/// A configuration that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    pub name: &'static str,
    /// The file as it was compiled in.
    pub(super) text: &'static str,
}

macro_rules! recipe {
    ($name:literal) => {
        Recipe { name: $name, text: include_str!(concat!("../../../recipes/", $name, ".toml")) }
    };
}

impl Recipe {
    pub const EVENT_BRIDGE: Self = recipe!("event-bridge");
    pub const EVENT_RECEIVER: Self = recipe!("event-receiver");
    pub const EVENT_STREAMING: Self = recipe!("event-streaming");
    pub const HTTP_INGESTION: Self = recipe!("http-ingestion");
    pub const ROBUST_DATA_PROCESSOR: Self = recipe!("robust-data-processor");

    /// By name.
    pub const ALL: [Self; 5] = [
        Self::EVENT_BRIDGE,
        Self::EVENT_RECEIVER,
        Self::EVENT_STREAMING,
        Self::HTTP_INGESTION,
        Self::ROBUST_DATA_PROCESSOR,
    ];

    pub fn named(name: &str) -> Result<Self, UnknownRecipe> {
        let found = Self::ALL.into_iter().find(|recipe| recipe.name == name);
        found.ok_or_else(|| UnknownRecipe { name: name.to_owned() })
    }

    /// Its file in the repository, as errors name it.
    pub(super) fn file(self) -> PathBuf {
        PathBuf::from(format!("recipes/{}.toml", self.name))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("recipe `{name}` is not known (known: {})", Recipe::ALL.map(|recipe| recipe.name).join(", "))]
pub struct UnknownRecipe {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_recipe_that_can_be_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut files: Vec<_> = files.map(|file| file.into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, Recipe::ALL.map(|recipe| format!("{}.toml", recipe.name)));
        for recipe in Recipe::ALL {
            parse(&recipe.file(), recipe.text, []).unwrap();
        }
    }

    #[test]
    fn the_recipes_that_refusals_name_lift_them() {
        let config = |recipe: Recipe| parse(&recipe.file(), recipe.text, []).unwrap();
        assert!(config(Recipe::ROBUST_DATA_PROCESSOR).tiers.default.is_some());
        assert!(config(Recipe::HTTP_INGESTION).tenants.default.is_some());
    }

    #[test]
    fn an_unknown_recipe_is_named_with_the_known_ones() {
        insta::assert_snapshot!(Recipe::named("event-reciever").unwrap_err(), @"recipe `event-reciever` is not known (known: event-bridge, event-receiver, event-streaming, http-ingestion, robust-data-processor)");
    }
}
