//! Charts as SVG, by hand: small, the same for the same figures, and readable on light and dark.
//!
//! Within a page its text has the colour of the page's text; by itself it asks for what its reader
//! prefers. There is no empty line, at which markdown would end it.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;

/// Told apart on white and on black, and by those who see no red or no green.
const COLOURS: [&str; 6] = [
    "#0f86d9", "#e06c00", "#12a07d", "#b05fd0", "#8a8f98", "#d64560",
];

/// One with two logarithmic axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What is counted from left to right.
    pub x: String,
    /// And upwards.
    pub y: String,
    /// Each with a name at its end.
    pub lines: Vec<Line>,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where from.
    pub name: String,
    /// From left to right; both are more than 0.
    pub points: Vec<(f64, f64)>,
    /// For what the others are compared with.
    pub is_dashed: bool,
    /// A number for each colour.
    pub colour: usize,
}

/// From a power of ten to another one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).max(1e-9);
        let most = values.fold(0.0, f64::max).max(least).min(1e12);
        let from = (least.min(1e12).log10() + 1e-9).floor() as i32;
        let to = ((most.log10() - 1e-9).ceil() as i32).max(from + 1);
        Self { from, to }
    }

    /// From 0 to 1.
    fn place(self, value: f64) -> f64 {
        (value.log10() - f64::from(self.from)) / f64::from(self.to - self.from)
    }

    fn powers(self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|power| 10_f64.powi(power))
    }
}

impl Chart {
    /// The whole file.
    #[must_use]
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let (x, y) = (
            Axis::of(points().map(|point| point.0)),
            Axis::of(points().map(|point| point.1)),
        );
        let across = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let up = |value: f64| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
        let mut svg = open(&self.title, HEIGHT);
        for value in y.powers() {
            let (at, end) = (up(value), WIDTH - RIGHT);
            rule(&mut svg, (LEFT, at), (end, at));
            text(&mut svg, (LEFT - 8.0, at + 4.0), "end", &number(value));
        }
        for value in x.powers() {
            let (at, base) = (across(value), HEIGHT - BOTTOM);
            rule(&mut svg, (at, base), (at, base + 5.0));
            text(&mut svg, (at, base + 20.0), "middle", &number(value));
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        text(&mut svg, (middle, HEIGHT - 12.0), "middle", &self.x);
        text(&mut svg, (10.0, TOP - 14.0), "start", &self.y);
        let mut labels = Vec::new();
        for line in &self.lines {
            let place = |&(x, y): &(f64, f64)| format!("{:.1},{:.1}", across(x), up(y));
            let path: Vec<_> = line.points.iter().map(place).collect();
            let colour = colour(line.colour);
            let dashes = if line.is_dashed {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
                path.join(" ")
            );
            for &(x, y) in &line.points {
                let (x, y) = (across(x), up(y));
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            if let Some(&(_, last)) = line.points.last() {
                labels.push((up(last) + 4.0, line));
            }
        }
        // None over another one.
        labels.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut free = 0.0_f64;
        for (at, line) in labels {
            let at = at.max(free);
            free = at + 15.0;
            label(
                &mut svg,
                (WIDTH - RIGHT + 10.0, at),
                colour(line.colour),
                &line.name,
            );
        }
        svg + "</svg>\n"
    }
}

/// One with a group of bars for each name, on a logarithmic axis.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// What each bar of a group is, in the order of their lengths.
    pub legend: Vec<String>,
    /// What is written behind each length.
    pub unit: String,
    /// From top to bottom.
    pub groups: Vec<(String, Vec<f64>)>,
}

impl Bars {
    /// The whole file.
    #[must_use]
    pub fn svg(&self) -> String {
        const LEFT: f64 = 250.0;
        const BAR: f64 = 11.0;
        let group = BAR * self.legend.len() as f64 + 8.0;
        let height = TOP + 20.0 + group * self.groups.len() as f64 + 8.0;
        let all = || self.groups.iter().flat_map(|(_, lengths)| lengths).copied();
        let axis = Axis::of(all());
        let mut svg = open(&self.title, height);
        let across = |value: f64| LEFT + axis.place(value) * (WIDTH - LEFT - 90.0);
        for value in axis.powers() {
            rule(
                &mut svg,
                (across(value), TOP + 14.0),
                (across(value), height - 8.0),
            );
        }
        let mut at = LEFT;
        for (number, name) in self.legend.iter().enumerate() {
            label(&mut svg, (at, TOP + 2.0), colour(number), name);
            at += 24.0 + 7.5 * name.chars().count() as f64;
        }
        let mut top = TOP + 20.0;
        for (name, lengths) in &self.groups {
            let middle = top + BAR * lengths.len() as f64 / 2.0 + 4.0;
            text(&mut svg, (LEFT - 8.0, middle), "end", name);
            for (number, &length) in lengths.iter().enumerate() {
                let (y, end) = (top + BAR * number as f64, across(length));
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>",
                    (end - LEFT).max(1.0),
                    BAR - 1.0,
                    colour(number)
                );
                let value = format!("{} {}", self::number(length), self.unit);
                text(&mut svg, (end + 5.0, y + 9.0), "start", &value);
            }
            top += group;
        }
        svg + "</svg>\n"
    }
}

fn open(title: &str, height: f64) -> String {
    let title = escaped(title);
    // The rules are for the root of a document: not for a part of a page.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"100%\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" \
         aria-label=\"{title}\">\n\
         <style>svg:root {{ color: #24292f }} @media (prefers-color-scheme: dark) \
         {{ svg:root {{ color: #d0d7de; background: #16191d }} }}</style>\n\
         <text x=\"10\" y=\"18\" font-size=\"14\" font-weight=\"bold\" fill=\"currentColor\">{title}</text>\n"
    )
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
         stroke=\"currentColor\" stroke-opacity=\"0.2\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"currentColor\">{text}</text>"
    );
}

/// With its colour before it, since not everybody can read coloured text.
fn label(svg: &mut String, (x, y): (f64, f64), colour: &str, name: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\" fill=\"{colour}\"/>",
        y - 9.0
    );
    text(svg, (x + 14.0, y), "start", name);
}

fn colour(number: usize) -> &'static str {
    COLOURS
        .get(number % COLOURS.len())
        .copied()
        .unwrap_or("#8a8f98")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// With three digits at most that say something, and a mark between thousands.
fn number(value: f64) -> String {
    if value < 1.0 {
        let text = format!("{value:.4}");
        return text.trim_end_matches('0').to_owned();
    }
    if value < 10.0 && value.fract() > 1e-9 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut marked = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            marked.push(',');
        }
        marked.push(digit);
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let line = |name: &str, colour, points: &[(f64, f64)]| Line {
            name: name.to_owned(),
            points: points.to_vec(),
            is_dashed: colour == 1,
            colour,
        };
        Chart {
            title: "a < b & c".to_owned(),
            x: "keys".to_owned(),
            y: "ns".to_owned(),
            lines: vec![
                line("one", 0, &[(1.0, 30.0), (1000.0, 70.0)]),
                line("other", 1, &[(1.0, 31.0), (1000.0, 71.0)]),
            ],
        }
    }

    #[test]
    fn a_chart_is_the_same_each_time_and_ends_no_block_of_markdown() {
        let bars = Bars {
            title: "bars".to_owned(),
            legend: vec!["1 thread".to_owned()],
            unit: "ns".to_owned(),
            groups: vec![
                ("one".to_owned(), vec![30.0]),
                ("other".to_owned(), vec![1241.0]),
            ],
        };
        for svg in [chart().svg(), bars.svg()] {
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("\n\n") && !svg.contains("NaN") && !svg.contains("inf"));
            assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        }
        assert_eq!(chart().svg(), chart().svg());
        assert!(chart().svg().contains("a &lt; b &amp; c</text>"));
        assert!(bars.svg().contains(">1,241 ns</text>"));
    }

    #[test]
    fn no_label_is_over_another_one() {
        let svg = chart().svg();
        let height = |name: &str| -> f64 {
            let line = svg
                .lines()
                .find(|line| line.contains(&format!(">{name}<")))
                .unwrap();
            let (_, rest) = line.split_once(" y=\"").unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        assert!((height("one") - height("other")).abs() >= 14.0);
    }

    #[test]
    fn axes_go_from_a_power_of_ten_to_another() {
        let check = |values: &[f64], from, to| {
            assert_eq!(
                Axis::of(values.iter().copied()),
                Axis { from, to },
                "{values:?}"
            );
        };
        check(&[30.0, 1200.0], 1, 4);
        check(&[1.0, 100.0], 0, 2);
        check(&[10.0], 1, 2);
        check(&[0.04, 3.0], -2, 1);
        let axis = Axis { from: 1, to: 3 };
        assert!((axis.place(100.0) - 0.5).abs() < 1e-9);
        let _ = Axis::of(std::iter::empty());
    }

    #[test]
    fn numbers_are_short() {
        let found = [0.001, 0.5, 1.0, 2.34, 10.0, 999.6, 12_345.0, 1e6].map(number);
        let expected = [
            "0.001",
            "0.5",
            "1",
            "2.3",
            "10",
            "1,000",
            "12,345",
            "1,000,000",
        ];
        assert_eq!(found, expected);
    }
}
