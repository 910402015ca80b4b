//! A chart of lines as SVG, in the colours of the page that it stands in.

use super::html::{escape, significant};
use std::fmt::Write;

/// Small, so that the numbers are legible on a phone.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 200.0;
/// Room for the numbers on the axes.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;
/// Parts that a long line is cut into; of each, the lowest and the highest point are drawn.
const PARTS: usize = 400;
/// Values that span less have a linear axis.
const LOGARITHMIC_FROM: f64 = 5.0;

/// A line of a chart.
pub struct Line {
    /// CSS class.
    pub class: &'static str,
    /// x and y; x rises.
    pub points: Vec<(f64, f64)>,
    /// Whether each point has a mark that says its value.
    pub marked: bool,
}

/// Lines over the same axes.
pub struct Chart<'a> {
    /// For those who cannot see it.
    pub label: &'a str,
    pub x_name: &'a str,
    pub lines: &'a [Line],
    /// Whether values that span much get a logarithmic axis.
    pub may_be_logarithmic: bool,
}

/// The range of an axis.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Chart<'_> {
    /// The picture; none where there are less than two points to join.
    pub fn svg(&self) -> Option<String> {
        if !self.lines.iter().any(|line| line.points.len() > 1) {
            return None;
        }
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::exactly(all().map(|point| point.0));
        let y = Axis::around(all().map(|point| point.1), self.may_be_logarithmic);
        let column = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * x.part(value);
        let row = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y.part(value);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.label)
        );
        // Writing to a string cannot fail.
        for tick in y.ticks(5) {
            let (at, right) = (row(tick), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                significant(tick)
            );
        }
        for tick in x.ticks(5) {
            let (at, below) = (column(tick), HEIGHT - BOTTOM + 16.0);
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
                significant(tick)
            );
        }
        for line in self.lines {
            let points: Vec<String> = thinned(&line.points)
                .iter()
                .map(|&(x, y)| format!("{:.1},{:.1}", column(x), row(y)))
                .collect();
            let _ = writeln!(svg, "<polyline class=\"{}\" points=\"{}\"/>", line.class, points.join(" "));
            for &(x, y) in line.points.iter().filter(|_| line.marked && line.points.len() <= PARTS) {
                let _ = writeln!(
                    svg,
                    "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{} {x}: {}</title></circle>",
                    line.class,
                    column(x),
                    row(y),
                    escape(self.x_name),
                    significant(y)
                );
            }
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n</svg>",
            WIDTH - RIGHT,
            HEIGHT - 3.0,
            escape(self.x_name)
        );
        Some(svg)
    }
}

impl Axis {
    fn exactly(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let high = if high > low { high } else { low + low.abs().max(1.0) };
        Self { low, high, logarithmic: false }
    }

    /// With some room, and from 0 where that is near.
    fn around(values: impl Iterator<Item = f64>, may_be_logarithmic: bool) -> Self {
        let Self { low, high, .. } = Self::exactly(values);
        if may_be_logarithmic && low > 0.0 && high / low >= LOGARITHMIC_FROM {
            let room = (high / low).powf(0.04);
            return Self { low: low / room, high: high * room, logarithmic: true };
        }
        let room = (high - low) * 0.05;
        let from_zero = (0.0..high / 2.0).contains(&low);
        Self { low: if from_zero { 0.0 } else { low - room }, high: high + room, logarithmic: false }
    }

    /// Where a value is, 0 to 1.
    fn part(self, value: f64) -> f64 {
        match self.logarithmic {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    /// Round numbers on the axis, about `count` of them: 1, 2 and 5 times powers of ten.
    fn ticks(self, count: usize) -> Vec<f64> {
        let inside = |value: &f64| (0.0..=1.0).contains(&self.part(*value));
        if self.logarithmic {
            let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let factors: &[f64] = match powers.clone().count() {
                ..=4 => &[1.0, 2.0, 5.0],
                _ => &[1.0],
            };
            let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
            return all.filter(inside).collect();
        }
        let rough = (self.high - self.low) / count as f64;
        let power = 10f64.powf(rough.log10().floor());
        let apart = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let apart = apart.into_iter().find(|&apart| apart >= rough).unwrap_or(10.0 * power);
        let first = (self.low / apart).ceil();
        (0..2 * count).map(|i| (first + i as f64) * apart).filter(inside).collect()
    }
}

/// The lowest and the highest point of each part of a long line.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * PARTS {
        return points.to_vec();
    }
    let part = points.len().div_ceil(PARTS);
    let ends = |part: &[(f64, f64)]| {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (part.iter().min_by(by), part.iter().max_by(by));
        let mut ends: Vec<(f64, f64)> = low.into_iter().chain(high).copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends
    };
    points.chunks(part).flat_map(ends).collect()
}

/// Each point's mean with its neighbours, `width` points in all, fewer at the ends.
pub fn smooth(points: &[(f64, f64)], width: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![0.0];
    for point in points {
        sums.push(sums[sums.len() - 1] + point.1);
    }
    let mean = |i: usize| {
        let reach = (width / 2).min(i).min(points.len() - 1 - i);
        let (first, end) = (i - reach, i + reach + 1);
        (points[i].0, (sums[end] - sums[first]) / (end - first) as f64)
    };
    (0..points.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let linear = Axis { low: 0.0, high: 1750.0, logarithmic: false };
        assert_eq!(linear.ticks(5), [0.0, 500.0, 1000.0, 1500.0]);
        let logarithmic = Axis { low: 0.03, high: 1.2, logarithmic: true };
        let ticks: Vec<String> = logarithmic.ticks(5).into_iter().map(significant).collect();
        assert_eq!(ticks, ["0.05", "0.1", "0.2", "0.5", "1"]);
        for (low, high) in [(1e-9, 3e-9), (-5.0, 1e6), (0.0, 1e-300)] {
            let count = Axis { low, high, logarithmic: false }.ticks(5).len();
            assert!((2..=10).contains(&count), "{low} to {high}: {count}");
        }
    }

    #[test]
    fn a_thinned_line_keeps_its_extremes_and_a_smooth_one_its_straight_parts() {
        let line: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), f64::from(i % 77))).collect();
        let thin = thinned(&line);
        assert!(
            thin.len() <= 2 * PARTS && thin.iter().any(|p| p.1 == 76.0) && thin.iter().any(|p| p.1 == 0.0)
        );
        assert!(thin.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        let straight: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), 3.0 * f64::from(i))).collect();
        assert_eq!(smooth(&straight, 9), straight);
        assert_eq!(smooth(&[], 3), []);
    }

    #[test]
    fn no_values_break_a_chart() {
        for points in
            [vec![(1.0, 2.0), (1.0, 2.0)], vec![(1.0, 0.0), (2.0, 0.0)], vec![(1.0, -1.0), (2.0, 1e300)]]
        {
            let lines = [Line { class: "a", points, marked: true }];
            let svg =
                Chart { label: "l", x_name: "x", lines: &lines, may_be_logarithmic: true }.svg().unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
