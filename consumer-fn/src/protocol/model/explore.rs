//! Breadth-first search through all states, so that a counter-example is as short as possible.

use std::collections::HashSet;
use std::fmt::Write;
use std::rc::Rc;

use super::world::{State, World};

pub(super) struct Explored {
    pub(super) states: usize,
    /// The number of states in which nothing is left to do.
    pub(super) ended: usize,
    /// The steps to a state in which the invariant does not hold.
    pub(super) counter_example: Option<String>,
}

/// Explores `world` until there is no new state, or the invariant is broken.
pub(super) fn explore(world: &World) -> Explored {
    let start = Rc::new(world.start());
    // Each state, with the one it was first reached from.
    let mut states = vec![(start.clone(), 0)];
    let mut known = HashSet::from([start]);
    let mut ended = 0;
    let mut at = 0;
    while at < states.len() {
        let state = states[at].0.clone();
        ended += usize::from(state.is_ended());
        if let Err(broken) = state.check() {
            let counter_example = Some(counter_example(world, &states, at, &broken));
            return Explored { states: states.len(), ended, counter_example };
        }
        for (next, _) in world.successors(&state, false) {
            let next = Rc::new(next);
            if known.insert(next.clone()) {
                states.push((next, at));
            }
        }
        at += 1;
    }
    Explored { states: states.len(), ended, counter_example: None }
}

fn counter_example(world: &World, states: &[(Rc<State>, usize)], end: usize, broken: &str) -> String {
    let mut path = vec![end];
    while let Some(&last) = path.last().filter(|last| **last > 0) {
        path.push(states[last].1);
    }
    path.reverse();
    let mut text = String::new();
    for pair in path.windows(2) {
        let (from, to) = (&states[pair[0]].0, &states[pair[1]].0);
        let step = world.successors(from, true).into_iter().find(|(next, _)| next == &**to);
        let step = step.map(|(_, step)| step.to_string()).unwrap_or_default();
        writeln!(text, "  {step}").expect("a string takes everything");
    }
    writeln!(text, "  => {broken}").expect("a string takes everything");
    text
}
