//! Rate and latency over time, as SVG: readable on a light and on a dark page.

use std::fmt::{self, Write as _};

use crate::measure::Second;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
/// Top and bottom of the two charts.
const RATE: [f64; 2] = [60.0, 200.0];
const LATENCY: [f64; 2] = [250.0, 430.0];
const HEIGHT: f64 = 470.0;
/// A shorter rest of a second is left out: its rate says little.
const SHORTEST_S: f64 = 0.5;

const STYLE: &str = "\
svg{--ink:#1f2933;--faint:#d5dbe1;--page:#ffffff;--rate:#0b6bcb;--p50:#0f7b4d;--p99:#b3470b;--bad:#c0182b}\
@media(prefers-color-scheme:dark){svg{--ink:#e6e9ec;--faint:#3d4650;--page:#16191d;--rate:#6cb6ff;--p50:#57d39b;--p99:#ffa45c;--bad:#ff7b86}}\
text{fill:var(--ink)}.page{fill:var(--page)}.grid{stroke:var(--faint)}\
path{fill:none;stroke-width:2;stroke-linejoin:round}.rate{stroke:var(--rate)}.p50{stroke:var(--p50)}.p99{stroke:var(--p99);stroke-dasharray:7 3}.bad{fill:var(--bad)}";

/// `title` is text, not SVG.
pub fn svg(title: &str, seconds: &[Second]) -> String {
    let mut drawn = String::new();
    draw(&mut drawn, title, seconds).expect("a string takes everything");
    drawn
}

/// What was answered in a second, at its end.
struct Point {
    at_s: f64,
    rate: f64,
    second: Second,
}

fn draw(out: &mut String, title: &str, seconds: &[Second]) -> fmt::Result {
    let points = points(seconds);
    let end = points.last().map_or(1.0, |point| point.at_s);
    let x = |at_s: f64| LEFT + (WIDTH - LEFT - RIGHT) * at_s / end;
    let title = escaped(title);
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{title}"><style>{STYLE}</style><rect class="page" width="100%" height="100%"/>"#
    )?;
    text(out, LEFT, 22.0, "start", &title)?;

    let most = points.iter().map(|point| point.rate).fold(1.0, f64::max);
    let [top, bottom] = RATE;
    text(out, LEFT, top - 12.0, "start", "answers a second")?;
    let step = step(most);
    let scale = (most / step).ceil() * step;
    let y = |rate: f64| bottom - (bottom - top) * rate / scale;
    for rate in multiples(step, scale) {
        grid(out, y(rate), &label(rate))?;
    }
    path(out, "rate", points.iter().map(|point| (x(point.at_s), y(point.rate))))?;
    for point in points.iter().filter(|point| point.second.unexpected > 0) {
        writeln!(
            out,
            r#"<circle class="bad" cx="{:.1}" cy="{:.1}" r="3"><title>{} unexpected answers</title></circle>"#,
            x(point.at_s),
            y(0.0),
            point.second.unexpected
        )?;
    }

    let [top, bottom] = LATENCY;
    text(
        out,
        LEFT,
        top - 12.0,
        "start",
        "milliseconds from due to answered: p50 (line), p99 (dashes); logarithmic",
    )?;
    let answered = || points.iter().filter(|point| point.second.requests > 0);
    let least = answered().map(|point| point.second.p50_ms).fold(f64::INFINITY, f64::min).clamp(0.01, 1e6);
    let most = answered().map(|point| point.second.p99_ms).fold(least, f64::max);
    let (low, high) = (least.log10().floor(), (most.log10() + 1e-9).ceil().max(least.log10().floor() + 1.0));
    let y = |ms: f64| bottom - (bottom - top) * (ms.max(0.01).log10() - low) / (high - low);
    for power in multiples(1.0, high - low) {
        let ms = 10_f64.powf(low + power);
        grid(out, y(ms), &label(ms))?;
    }
    path(out, "p50", answered().map(|point| (x(point.at_s), y(point.second.p50_ms))))?;
    path(out, "p99", answered().map(|point| (x(point.at_s), y(point.second.p99_ms))))?;

    for at_s in multiples(self::step(end), end) {
        text(out, x(at_s), bottom + 20.0, "middle", &format!("{} s", label(at_s)))?;
    }
    writeln!(out, "</svg>")
}

fn points(seconds: &[Second]) -> Vec<Point> {
    let mut before = 0.0;
    let mut points = Vec::with_capacity(seconds.len());
    for second in seconds {
        let took = second.at_s - before;
        before = second.at_s;
        if took >= SHORTEST_S || points.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
            let rate = second.requests as f64 / took.max(1e-3);
            points.push(Point { at_s: second.at_s, rate, second: *second });
        }
    }
    points
}

fn multiples(step: f64, end: f64) -> impl Iterator<Item = f64> {
    (0..1_000).map(move |n| f64::from(n) * step).take_while(move |value| *value <= end + step / 100.0)
}

fn label(value: f64) -> String {
    ((value * 1e3).round() / 1e3).to_string()
}

/// About five steps of 1, 2 or 5 times a power of ten.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let fits = |times: &&f64| most / (**times * power) <= 6.0;
    power * [1.0, 2.0, 5.0, 10.0].iter().find(fits).unwrap_or(&10.0)
}

fn grid(out: &mut String, y: f64, label: &str) -> fmt::Result {
    writeln!(out, r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#, WIDTH - RIGHT)?;
    text(out, LEFT - 8.0, y + 4.0, "end", label)
}

fn path(out: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) -> fmt::Result {
    let mut path = String::new();
    for (x, y) in points {
        write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' })?;
    }
    writeln!(out, r#"<path class="{class}" d="{path}"/>"#)
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) -> fmt::Result {
    writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_both_charts_whatever_was_measured() {
        let second = |at_s, requests, p99_ms| Second { at_s, requests, p50_ms: 0.7, p99_ms, unexpected: 1 };
        for seconds in [
            vec![],
            vec![second(0.02, 1, 0.7)],
            vec![second(1.0, 2_000, 9.0), second(2.0, 0, 0.0), second(3.0, 2_000, 70_000.0)],
        ] {
            let svg = svg("a <b> & \"c\"", &seconds);
            assert_eq!(svg.matches("<path").count(), 3);
            assert!(svg.contains("a &lt;b> &amp; &quot;c&quot;"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn an_axis_has_round_steps() {
        assert_eq!([1.0, 60.0, 2_000.0, 13.0].map(|most| label(step(most))), ["0.2", "10", "500", "5"]);
    }
}
