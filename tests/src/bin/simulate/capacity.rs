//! A table of provisioned capacity: it refuses what is above it.

use tokio::time::Instant;

/// What a table takes in a second, in items. It keeps what was not used for so many seconds: DynamoDB does for 300, and promises none
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html>).
#[derive(Debug)]
pub(crate) struct Capacity {
    a_second: f64,
    kept_seconds: f64,
    unused: f64,
    at: Instant,
}

impl Capacity {
    pub(crate) fn new(a_second: f64, kept_seconds: f64) -> Self {
        Self { a_second, kept_seconds, unused: a_second * kept_seconds, at: Instant::now() }
    }

    /// Whether another write is taken. One that finds an item is a write, too.
    pub(crate) fn take(&mut self) -> bool {
        let earned = self.at.elapsed().as_secs_f64() * self.a_second;
        let most = (self.a_second * self.kept_seconds).max(1.0);
        self.unused = (self.unused + earned).min(most);
        self.at = Instant::now();
        let is_taken = self.unused >= 1.0;
        if is_taken {
            self.unused -= 1.0;
        }
        is_taken
    }

    #[cfg(test)]
    pub(crate) fn set(&mut self, a_second: f64) {
        self.a_second = a_second;
    }
}
