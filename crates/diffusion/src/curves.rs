//! A run's losses as a picture.

use crate::metrics::Metrics;
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
/// Room for the numbers on the axes.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 36.0;
/// Points of a line at most; each is the mean of its steps.
const POINTS: usize = 200;

/// Training loss (the mean of neighbouring steps) and held-out loss over the steps, as SVG with a
/// logarithmic axis; none for less than two points.
pub fn svg(metrics: &[Metrics]) -> Option<String> {
    let part = metrics.len().div_ceil(POINTS).max(1);
    let mean = |part: &[Metrics]| {
        let count = part.len() as f64;
        let step = part.iter().map(|m| m.step as f64).sum::<f64>() / count;
        (step, part.iter().map(|m| m.loss).sum::<f64>() / count)
    };
    let training: Vec<(f64, f64)> = metrics.chunks(part).map(mean).collect();
    let held_out: Vec<(f64, f64)> =
        metrics.iter().filter_map(|m| Some((m.step as f64, m.held_out_loss?))).collect();
    let values = || training.iter().chain(&held_out).map(|&(_, loss)| loss).filter(|&loss| loss > 0.0);
    let (low, high) = values().fold((f64::INFINITY, 0f64), |(low, high), v| (low.min(v), high.max(v)));
    let last = metrics.last()?.step as f64;
    if training.len() < 2 || high <= low {
        return None;
    }
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * step / last;
    let y = |loss: f64| TOP + (HEIGHT - TOP - BOTTOM) * (high / loss.max(low)).ln() / (high / low).ln();
    let line = |points: &[(f64, f64)], colour: &str| {
        let points: Vec<String> =
            points.iter().map(|&(step, loss)| format!("{:.1},{:.1}", x(step), y(loss))).collect();
        format!("<polyline fill='none' stroke='{colour}' stroke-width='1.5' points='{}'/>", points.join(" "))
    };
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' \
         font-family='sans-serif' font-size='12'>\n<rect width='100%' height='100%' fill='white'/>\n"
    );
    for i in 0..5 {
        let part = f64::from(i) / 4.0;
        let (loss, step) = (low * (high / low).powf(part), last * part);
        let (row, column) = (y(loss), x(step));
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<line x1='{LEFT}' x2='{}' y1='{row:.1}' y2='{row:.1}' stroke='#ddd'/>\
             <text x='{}' y='{:.1}' text-anchor='end'>{loss:.3}</text>\
             <text x='{column:.1}' y='{}' text-anchor='middle'>{step:.0}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            row + 4.0,
            HEIGHT - BOTTOM + 18.0,
        );
    }
    for (points, colour, name, place) in
        [(&training, "#1f77b4", "training loss", LEFT), (&held_out, "#d62728", "held-out loss", 200.0)]
    {
        if !points.is_empty() {
            let _ = writeln!(svg, "{}", line(points, colour));
            let _ = writeln!(svg, "<text x='{place}' y='16' fill='{colour}'>{name}</text>");
        }
    }
    let _ = writeln!(svg, "<text x='{}' y='{}' text-anchor='end'>step</text>", WIDTH - RIGHT, HEIGHT - 4.0);
    Some(svg + "</svg>\n")
}
