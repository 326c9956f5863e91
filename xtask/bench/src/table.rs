//! The figures as people read them: in a terminal, and in the guide.

use crate::{
    herd::Herd,
    interleave::Kind,
    keyed,
    results::{HotPath, Results, Row},
    verdict,
};

/// Columns of text, the first to the left and the others to the right.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new<const N: usize>(head: [&str; N]) -> Self {
        Self {
            head: head.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|cells| cells.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for cells in lines() {
            let mut line = String::new();
            for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let width = *width;
                if column == 0 {
                    line.push_str(&format!("{cell:<width$}"));
                } else {
                    line.push_str(&format!("  {cell:>width$}"));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For the guide.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = ["---"]
            .into_iter()
            .chain(self.head.iter().skip(1).map(|_| "---:"));
        let rule: Vec<_> = rule.map(str::to_owned).collect();
        let mut text = line(&self.head) + &line(&rule).replace(' ', "");
        for row in &self.rows {
            text.push_str(&line(row));
        }
        text
    }
}

/// Each subject of the hot path with its times and how they compare.
#[must_use]
pub fn hot_path(hot_path: &HotPath) -> Table {
    let mut table = Table::new(["subject", "allocations, bytes"]);
    for setting in &hot_path.settings {
        table.head.push(setting.clone());
        table.head.push("to ours".to_owned());
    }
    table.head.push("to the floor".to_owned());
    for row in &hot_path.rows {
        let name = match row.kind {
            Kind::Floor => format!("floor: {}", row.subject),
            Kind::Ours => format!("bloom-auth: {}", row.subject),
            Kind::Rival => row.subject.clone(),
        };
        let allocations = match row.allocations {
            Some(counts) if counts.count == 0 => "0".to_owned(),
            Some(counts) => format!("{}, {}", counts.count, counts.bytes),
            None => none(),
        };
        let mut cells = vec![name, allocations];
        for column in 0..hot_path.settings.len() {
            let time = row.figures.get(column);
            cells.push(time.map_or_else(none, |time| nanoseconds(time.min)));
            cells.push(ratio(row, hot_path.ours(), column));
        }
        cells.push(ratio(row, hot_path.floor(), 0));
        table.rows.push(cells);
    }
    table
}

fn ratio(row: &Row, base: Option<&Row>, column: usize) -> String {
    let base = base.and_then(|base| base.min(column));
    let ratio = row.min(column).zip(base).map(|(time, base)| time / base);
    ratio.map_or_else(none, times)
}

/// What was not measured.
fn none() -> String {
    "-".to_owned()
}

fn times(ratio: f64) -> String {
    if ratio < 10.0 {
        format!("{ratio:.2}")
    } else {
        format!("{ratio:.0}")
    }
}

fn nanoseconds(time: f64) -> String {
    if time < 100.0 {
        format!("{time:.1} ns")
    } else {
        format!("{time:.0} ns")
    }
}

/// Each number of keys in each order, and the map beside it.
#[must_use]
pub fn keyed(rows: &[keyed::Row]) -> Table {
    let mut table = Table::new([
        "keys",
        "order",
        "bloom-auth",
        "to the hot path",
        "bare map",
        "to the bare map",
        "one read of memory",
    ]);
    for row in rows {
        table.rows.push(vec![
            row.keys.to_string(),
            row.order.name().to_owned(),
            nanoseconds(row.ours.min),
            times(row.ours.min / row.hot_path.min),
            nanoseconds(row.map.min),
            times(row.ours.min / row.map.min),
            nanoseconds(row.memory.min),
        ]);
    }
    table
}

/// The herd and its floor.
#[must_use]
pub fn herd(herd: &Herd) -> Table {
    let mut table = Table::new([
        "callers",
        "requests",
        "until the last has its token",
        "as many timers",
    ]);
    table.rows.push(vec![
        herd.callers.to_string(),
        herd.requests.to_string(),
        format!("{:.1} ms", herd.ours),
        format!("{:.1} ms", herd.floor),
    ]);
    table
}

/// All of it for a terminal, with what is promised.
#[must_use]
pub fn report(results: &Results) -> String {
    let mut text = format!("Measured on: {}\n", results.machine);
    for each in &results.hot_path {
        text.push_str(&format!(
            "\nHot path, least times, allocator: {}\n{}",
            each.allocator,
            hot_path(each).text()
        ));
    }
    text.push_str(&format!(
        "\nBy key, 1 thread\n{}",
        keyed(&results.keyed).text()
    ));
    text.push_str(&format!("\nHerd\n{}\n", herd(&results.herd).text()));
    for line in verdict::judge(results) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::samples;

    #[test]
    fn every_subject_has_its_times_and_ratios() {
        let results = samples::results();
        let text = hot_path(&results.hot_path[0]).text();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(lines.len(), 7);
        assert_eq!(
            lines[5],
            [
                "careful client",
                "7, 2100",
                "240 ns",
                "8.00",
                "380 ns",
                "12",
                "360 ns",
                "11",
                "7.50"
            ]
        );
        assert_eq!(
            lines[3],
            [
                "bloom-auth: try_authorization()",
                "0",
                "30.0 ns",
                "1.00",
                "31.0 ns",
                "1.00",
                "32.0 ns",
                "1.00",
                "0.94"
            ]
        );
    }

    #[test]
    fn a_table_is_one_of_markdown_too() {
        let text = herd(&samples::results().herd).markdown();
        assert_eq!(
            text,
            "| callers | requests | until the last has its token | as many timers |\n\
             |---|---:|---:|---:|\n\
             | 10000 | 1 | 60.0 ms | 57.0 ms |\n"
        );
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let mut results = samples::results();
        let row = &mut results.hot_path[0].rows[5];
        row.allocations = None;
        row.figures.pop();
        let text = hot_path(&results.hot_path[0]).text();
        let cells: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(cells[2..3], ["-"]);
        assert_eq!(cells[cells.len() - 3..], ["-", "-", "9.28"]);
    }

    #[test]
    fn a_report_has_everything() {
        let report = report(&samples::results());
        for part in [
            "Measured on: A Processor, 2 cores",
            "allocator: mimalloc",
            "Zipf",
            "By key",
            "Herd",
            ": good (",
        ] {
            assert!(report.contains(part), "{part}");
        }
    }
}
