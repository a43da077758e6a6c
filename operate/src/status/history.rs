//! The metrics of the last ten minutes, under their names in `/metrics`, as the page has them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A rate is that of so many milliseconds, or of a minute where there are no samples in between.
const RATE_MS: i64 = 10_000;
/// The span of a percentile, and of what happened lately.
pub(super) const MINUTE_MS: i64 = 60_000;
const MOST_MS: i64 = 600_000;

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct History {
    /// In Unix milliseconds.
    at: Vec<i64>,
    /// Each with a value for each time.
    series: BTreeMap<String, Vec<Option<f64>>>,
    #[serde(skip)]
    is_by_the_minute: bool,
}

impl History {
    /// One sample, from the text of `/metrics`.
    pub(super) fn of(metrics: &str, at: i64) -> Self {
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
            Some((name.to_owned(), vec![value.parse().ok()]))
        };
        Self { at: vec![at], series: metrics.lines().filter_map(sample).collect(), ..Self::default() }
    }

    /// Samples that are a minute apart. `series` have the names of `/metrics` without their beginning.
    pub(super) fn by_the_minute(at: Vec<i64>, series: BTreeMap<String, Vec<Option<f64>>>) -> Self {
        let series = series.into_iter().map(|(name, values)| (format!("tidegate_{name}"), values));
        Self { at, series: series.collect(), is_by_the_minute: true }
    }

    /// What totals count from, in words: those of a run have `of_run`.
    pub(super) fn since(&self, of_run: &'static str) -> &'static str {
        if self.is_by_the_minute { "in the last hour" } else { of_run }
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.at.last().copied()
    }

    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds newer samples, and leaves out those that are too old.
    pub(super) fn add(&mut self, newer: Self) {
        let before = self.at.len();
        self.at.extend(newer.at);
        for (name, values) in newer.series {
            let all = self.series.entry(name).or_default();
            all.resize(before, None);
            all.extend(values);
        }
        let end = self.last().unwrap_or_default() - MOST_MS;
        let old = self.at.partition_point(|at| *at <= end);
        for values in self.series.values_mut() {
            values.resize(self.at.len(), None);
            values.drain(..old);
        }
        self.at.drain(..old);
    }

    fn values(&self, name: &str) -> &[Option<f64>] {
        self.series.get(&format!("tidegate_{name}")).map_or(&[], Vec::as_slice)
    }

    fn value_at(&self, name: &str, index: usize) -> f64 {
        self.values(name).get(index).copied().flatten().unwrap_or_default()
    }

    /// The last value of a total or a gauge. A metric that has not happened is 0.
    pub(super) fn value(&self, name: &str) -> f64 {
        self.value_at(name, self.at.len().saturating_sub(1))
    }

    /// How much a total grew in the last minute.
    pub(super) fn grown(&self, name: &str) -> f64 {
        let since = self.last().unwrap_or_default() - MINUTE_MS;
        let from = self.at.partition_point(|at| *at < since);
        (self.value(name) - self.value_at(name, from)).max(0.0)
    }

    /// A total's rate in a second, for each sample.
    #[expect(clippy::cast_precision_loss, reason = "a time of ten minutes at most")]
    pub(super) fn rates(&self, name: &str) -> Vec<Option<f64>> {
        let span = if self.is_by_the_minute { MINUTE_MS } else { RATE_MS };
        let rate = |(index, at): (usize, &i64)| {
            let from = self.at.partition_point(|other| *other < at - span);
            let seconds = (at - self.at[from]) as f64 / 1_000.0;
            let grown = self.value_at(name, index) - self.value_at(name, from);
            // A total falls when the local run was started again.
            (from < index && grown >= 0.0).then(|| grown / seconds)
        };
        self.at.iter().enumerate().map(rate).collect()
    }

    pub(super) fn rate(&self, name: &str) -> Option<f64> {
        self.rates(name).last().copied().flatten()
    }

    pub(super) fn gauges(&self, name: &str) -> Vec<Option<f64>> {
        (0..self.at.len()).map(|index| self.values(name).get(index).copied().flatten()).collect()
    }

    /// A percentile of the last minute, for each sample; `None` where nothing was measured in it.
    pub(super) fn quantiles(&self, name: &str, quantile: &str) -> Vec<Option<f64>> {
        let values = self.gauges(&format!("{name}{{quantile=\"{quantile}\"}}"));
        let count = format!("{name}_count");
        let measured = |index: usize| {
            let from = self.at.partition_point(|at| *at < self.at[index] - MINUTE_MS);
            self.value_at(&count, index) > self.value_at(&count, from)
        };
        // `/metrics` has 0 where nothing was measured, too.
        let known =
            |(index, value): (usize, Option<f64>)| value.filter(|value| *value > 0.0 || measured(index));
        values.into_iter().enumerate().map(known).collect()
    }

    pub(super) fn quantile(&self, name: &str, quantile: &str) -> Option<f64> {
        self.quantiles(name, quantile).last().copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(at: &[i64], series: &[(&str, &[Option<f64>])]) -> History {
        let series = series.iter().map(|(name, values)| (format!("tidegate_{name}"), values.to_vec()));
        History { at: at.to_vec(), series: series.collect(), ..History::default() }
    }

    #[test]
    fn rates_are_those_of_ten_seconds_and_what_grew_is_of_a_minute() {
        let totals = [0.0, 10.0, 40.0, 100.0, 160.0].map(Some);
        let history = history(&[0, 5_000, 10_000, 20_000, 70_000], &[("a_total", &totals)]);
        assert_eq!(history.rates("a_total"), [None, Some(2.0), Some(4.0), Some(6.0), None]);
        assert_eq!((history.grown("a_total"), history.value("a_total")), (120.0, 160.0));
        assert_eq!((history.rate("other"), history.grown("other"), history.value("other")), (None, 0.0, 0.0));
    }

    #[test]
    fn a_percentile_is_unknown_where_nothing_was_measured() {
        let name = "x{quantile=\"0.5\"}";
        let history = history(
            &[0, 2_000, 90_000],
            &[(name, &[Some(0.0), Some(7.0), Some(0.0)]), ("x_count", &[Some(0.0), Some(1.0), Some(1.0)])],
        );
        assert_eq!(history.quantiles("x", "0.5"), [None, Some(7.0), None]);
    }

    #[test]
    fn newer_samples_follow_and_old_ones_go() {
        let mut all =
            history(&[0, 2_000], &[("a", &[Some(1.0), Some(2.0)]), ("gone", &[Some(9.0), Some(9.0)])]);
        all.add(history(&[4_000], &[("a", &[Some(3.0)]), ("new", &[Some(5.0)])]));
        assert_eq!(all.gauges("a"), [1.0, 2.0, 3.0].map(Some));
        assert_eq!(all.gauges("new"), [None, None, Some(5.0)]);
        assert_eq!(all.gauges("gone"), [Some(9.0), Some(9.0), None]);
        all.add(history(&[603_000], &[("a", &[Some(4.0)])]));
        assert_eq!((all.at.clone(), all.gauges("a")), (vec![4_000, 603_000], vec![Some(3.0), Some(4.0)]));
        assert_eq!(all.gauges("new"), [Some(5.0), None]);
    }
}
