//! Charts with logarithmic axes, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
/// Left, top, right and bottom of the axes; the names of the series are on the right.
const AXES: [f64; 4] = [90.0, 20.0, 610.0, 500.0];
/// Told apart by people who see no red or no green (Okabe & Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"];
const MARKS: [&str; 3] = ["circle", "square", "diamond"];

/// An axis from one value to another, both above 0; the second is at the right or at the top.
pub struct Axis<'a> {
    pub title: &'a str,
    pub ends: (f64, f64),
    /// Values that have a line, where they are within the ends.
    pub marks: &'a [f64],
    /// The text of such a value.
    pub written: &'a dyn Fn(f64) -> String,
}

impl Axis<'_> {
    /// 0 at the first end, 1 at the second.
    fn share(&self, value: f64) -> f64 {
        let (from, to) = self.range();
        (value.clamp(from, to) / self.ends.0).ln() / (self.ends.1 / self.ends.0).ln()
    }

    fn range(&self) -> (f64, f64) {
        range([self.ends.0, self.ends.1])
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        let (from, to) = self.range();
        self.marks.iter().copied().filter(move |mark| (from..=to).contains(mark))
    }
}

/// Points of one colour.
pub struct Series<'a> {
    pub name: &'a str,
    /// Whether a line joins them.
    pub joined: bool,
    pub points: Vec<Point>,
}

pub struct Point {
    pub x: f64,
    pub y: f64,
    /// What is shown of it under the pointer.
    pub text: String,
}

/// Images a second at a size.
pub struct Rate {
    /// Whose it is.
    pub name: String,
    pub size: f64,
    pub rate: f64,
}

/// The least and the largest.
pub fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    values.into_iter().fold(ends, |(low, high), value| (low.min(value), high.max(value)))
}

/// Each name once, in the order in which they come first.
pub fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Rates over sizes; of several of a name and size, the best.
pub fn rates(title: &str, rates: impl Iterator<Item = Rate>) -> String {
    let mut best: Vec<Rate> = Vec::new();
    for rate in rates {
        match best.iter_mut().find(|best| (&best.name, best.size) == (&rate.name, rate.size)) {
            Some(best) => best.rate = best.rate.max(rate.rate),
            None => best.push(rate),
        }
    }
    let sizes = range(best.iter().map(|rate| rate.size));
    let most = range(best.iter().map(|rate| rate.rate));
    let mut values: Vec<f64> = best.iter().map(|rate| rate.size).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let powers = (-2..6).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    let written = |value: f64| value.to_string();
    let across = Axis { title, ends: (sizes.0 / 1.1, sizes.1 * 1.1), marks: &values, written: &written };
    let up = Axis {
        title: "images a second",
        ends: (most.0 / 1.2, most.1 * 1.2),
        marks: &powers.collect::<Vec<_>>(),
        written: &written,
    };
    let series = distinct(best.iter().map(|rate| &*rate.name)).into_iter().map(|name| {
        let mut own: Vec<&Rate> = best.iter().filter(|rate| rate.name == name).collect();
        own.sort_by(|a, b| a.size.total_cmp(&b.size));
        let text = |rate: &Rate| format!("{name}: {:.1} at {}", rate.rate, rate.size);
        Series {
            name,
            joined: true,
            points: own
                .into_iter()
                .map(|rate| Point { x: rate.size, y: rate.rate, text: text(rate) })
                .collect(),
        }
    });
    chart(&format!("Images a second over {title}"), &across, &up, &series.collect::<Vec<_>>())
}

pub fn chart(title: &str, across: &Axis, up: &Axis, all: &[Series]) -> String {
    let [left, top, right, bottom] = AXES;
    let x = |value: f64| left + (right - left) * across.share(value);
    let y = |value: f64| bottom - (bottom - top) * up.share(value);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>{}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n",
        escaped(title)
    );
    for mark in across.marks() {
        let _ = writeln!(
            svg,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{2}</text>",
            x(mark),
            bottom + 20.0,
            escaped(&(across.written)(mark))
        );
    }
    for mark in up.marks() {
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            y(mark),
            left - 8.0,
            y(mark) + 4.0,
            escaped(&(up.written)(mark))
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        (left + right) / 2.0,
        bottom + 44.0,
        escaped(across.title),
        (top + bottom) / 2.0,
        escaped(up.title)
    );
    for (i, series) in all.iter().enumerate() {
        let (colour, mark) = (COLOURS[i % COLOURS.len()], MARKS[i / COLOURS.len() % MARKS.len()]);
        if series.joined {
            let path: Vec<String> =
                series.points.iter().map(|point| format!("{:.1},{:.1}", x(point.x), y(point.y))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                path.join(" ")
            );
        }
        for point in &series.points {
            let drawn = marked(mark, (x(point.x), y(point.y)), colour);
            let _ = writeln!(svg, "<g><title>{}</title>{drawn}</g>", escaped(&point.text));
        }
        let row = top + 12.0 + 22.0 * i as f64;
        let _ = writeln!(
            svg,
            "{}<text x=\"{}\" y=\"{}\">{}</text>",
            marked(mark, (right + 24.0, row), colour),
            right + 36.0,
            row + 4.0,
            escaped(series.name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn marked(mark: &str, (x, y): (f64, f64), colour: &str) -> String {
    match mark {
        "circle" => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"),
        "square" => {
            format!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"{colour}\"/>",
                x - 4.0,
                y - 4.0
            )
        }
        _ => format!("<path d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\" fill=\"{colour}\"/>", y - 5.0),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_rates_at_a_size_the_best_is_drawn() {
        let rate = |name: &str, size, rate| Rate { name: name.into(), size, rate };
        let all =
            [rate("a & b", 1.0, 5.0), rate("a & b", 1.0, 7.5), rate("a & b", 4.0, 20.0), rate("c", 1.0, 2.0)];
        let svg = rates("images", all.into_iter());
        let drawn: Vec<&str> =
            svg.lines().filter_map(|line| line.strip_prefix("<g><title>")?.split('<').next()).collect();
        assert_eq!(drawn, ["a &amp; b: 7.5 at 1", "a &amp; b: 20.0 at 4", "c: 2.0 at 1"]);
        assert_eq!(svg.matches("<polyline").count(), 2);
    }
}
