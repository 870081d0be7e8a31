//! A picture of seconds by hosts, both axes logarithmic: what grows with the fleet alone is a line of slope one.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
/// Left, right, top, bottom of the frame.
const FRAME: [f64; 4] = [70.0, 560.0, 50.0, 400.0];
/// Told apart by those too who do not see every colour.
const COLOURS: [&str; 6] = ["#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7"];

/// One line.
pub struct Series {
    pub name: String,
    /// Hosts and seconds.
    pub points: Vec<(usize, f64)>,
}

/// The picture as SVG.
pub fn draw(title: &str, series: &[Series]) -> String {
    let hosts = || series.iter().flat_map(|one| one.points.iter().map(|point| point.0 as f64));
    let seconds = || series.iter().flat_map(|one| one.points.iter().map(|point| shown(point.1)));
    let (least, most) = (hosts().fold(f64::MAX, f64::min), hosts().fold(1.0, f64::max));
    let low = seconds().fold(f64::MAX, f64::min).log10().floor();
    let high = seconds().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
    let [left, right, top, bottom] = FRAME;
    let x = |hosts: f64| left + (hosts / least).ln() / (most / least).ln().max(f64::EPSILON) * (right - left);
    let y = |seconds: f64| bottom - (shown(seconds).log10() - low) / (high - low) * (bottom - top);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"28\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    for power in low as i32..=high as i32 {
        let (value, at) = (10f64.powi(power), y(10f64.powi(power)));
        let _ = writeln!(svg, "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value} s</text>", left - 8.0, at + 4.0);
    }
    let mut sizes: Vec<usize> = series.iter().flat_map(|one| one.points.iter().map(|point| point.0)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        let at = x(size as f64);
        let _ = writeln!(svg, "<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#ddd\"/>");
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{size}</text>", bottom + 18.0);
    }
    let _ = writeln!(svg, "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">hosts</text>", bottom + 38.0);
    for (index, one) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<String> =
            one.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0 as f64), y(point.1))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        for (point, at) in one.points.iter().zip(&points) {
            let (cx, cy) = at.split_once(',').unwrap();
            let _ = writeln!(
                svg,
                "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3.5\" fill=\"{colour}\"><title>{}: {} hosts, {:.2} s</title></circle>",
                escaped(&one.name),
                point.0,
                point.1
            );
        }
        let row = top + 8.0 + index as f64 * 22.0;
        let from = right + 16.0;
        let _ = writeln!(svg, "<path d=\"M{from} {row}h16\" stroke=\"{colour}\" stroke-width=\"3\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", from + 22.0, row + 4.0, escaped(&one.name));
    }
    svg + "</svg>\n"
}

/// A hundredth of a second is the least that the clock of CPU time knows.
fn shown(seconds: f64) -> f64 {
    seconds.max(0.01)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
