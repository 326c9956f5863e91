//! Puts figures and plots into the guide: the text between two marks is the tool's, the rest is
//! written by people.

use std::{fs, path::Path};

use crate::{
    Problem, fleet,
    fleet::Sharing,
    interleave::Kind,
    keyed::Order,
    plot::{Bars, Chart, Line},
    results::Results,
    table, verdict,
};

/// Writes the page and its plots below this folder.
///
/// # Errors
///
/// If a file is not to be read or written, or the page has no marks.
pub fn write(results: &Results, guide: &Path) -> Result<(), Problem> {
    let path = guide.join("performance.md");
    let page = fs::read_to_string(&path)?;
    fs::write(path, filled(&page, &sections(results))?)?;
    plots(results, &guide.join("performance"))
}

/// Writes the plots into a folder.
///
/// # Errors
///
/// If a file is not to be written.
pub fn plots(results: &Results, folder: &Path) -> Result<(), Problem> {
    fs::create_dir_all(folder)?;
    for (name, svg) in [
        ("hot_path.svg", hot_path(results)),
        ("threads.svg", threads(results)),
        ("keys.svg", keys(results)),
        ("fleet.svg", requests()),
    ] {
        fs::write(folder.join(name), svg)?;
    }
    Ok(())
}

/// What stands between the marks, by their names.
fn sections(results: &Results) -> Vec<(String, String)> {
    let mut sections = vec![(
        "machine".to_owned(),
        format!("Measured on: {}.\n", results.machine),
    )];
    for hot_path in &results.hot_path {
        let name = format!("hot path, {}", hot_path.allocator);
        sections.push((name, table::hot_path(hot_path).markdown()));
    }
    sections.push(("keys".to_owned(), table::keyed(&results.keyed).markdown()));
    sections.push(("herd".to_owned(), table::herd(&results.herd).markdown()));
    let lines = verdict::judge(results).into_iter();
    let lines: String = lines.map(|line| format!("- {line}\n")).collect();
    sections.push(("verdicts".to_owned(), lines));
    sections
}

/// The page with new text between `<!-- figures: NAME -->` and `<!-- end -->`.
fn filled(page: &str, sections: &[(String, String)]) -> Result<String, Problem> {
    let mut page = page.to_owned();
    for (name, text) in sections {
        let mark = format!("<!-- figures: {name} -->\n");
        let start = page
            .find(&mark)
            .ok_or_else(|| format!("the page has no {mark}"))?;
        let start = start + mark.len();
        let rest = page.get(start..).unwrap_or_default();
        let length = rest
            .find("<!-- end -->")
            .ok_or_else(|| format!("no end after {mark}"))?;
        page.replace_range(start..start + length, &format!("\n{text}\n"));
    }
    Ok(page)
}

fn hot_path(results: &Results) -> String {
    let hot_path = results.hot_path.first();
    let rows = hot_path.map(|it| it.rows.as_slice()).unwrap_or_default();
    let settings = hot_path
        .map(|it| it.settings.as_slice())
        .unwrap_or_default();
    let last = settings.len().saturating_sub(1);
    let group = |row: &crate::results::Row| {
        let name = match row.kind {
            Kind::Floor => format!("floor: {}", row.subject),
            _ => row.subject.clone(),
        };
        let lengths = [row.min(0)?, row.min(last)?];
        Some((name, lengths.to_vec()))
    };
    Bars {
        title: "A call that finds a fresh token (logarithmic)".to_owned(),
        legend: [settings.first(), settings.last()]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        unit: "ns".to_owned(),
        groups: rows.iter().filter_map(group).collect(),
    }
    .svg()
}

fn threads(results: &Results) -> String {
    let hot_path = results.hot_path.first();
    let rows = hot_path.map(|it| it.rows.as_slice()).unwrap_or_default();
    let settings = hot_path
        .map(|it| it.settings.as_slice())
        .unwrap_or_default();
    let threads = |setting: &String| -> Option<f64> {
        let (count, unit) = setting.split_once(' ')?;
        unit.starts_with("thread").then(|| count.parse().ok())?
    };
    let count: Vec<f64> = settings.iter().map_while(threads).collect();
    let mut lines = Vec::new();
    for row in rows {
        let is_shown = match row.kind {
            Kind::Floor => row.subject == crate::floors::HOT_PATH,
            Kind::Ours => row.subject == crate::hot_path::CALL,
            Kind::Rival => true,
        };
        if !is_shown {
            continue;
        }
        let points = count.iter().zip(&row.figures);
        lines.push(Line {
            name: row.subject.clone(),
            points: points.map(|(&count, figure)| (count, figure.min)).collect(),
            is_dashed: row.kind == Kind::Floor,
            colour: match row.kind {
                Kind::Ours => 0,
                Kind::Floor => 4,
                Kind::Rival => [1, 2, 3, 5].get(lines.len() % 4).copied().unwrap_or(1),
            },
        });
    }
    Chart {
        title: "What a call takes each of so many threads".to_owned(),
        x: "threads".to_owned(),
        y: "ns a call".to_owned(),
        lines,
    }
    .svg()
}

fn keys(results: &Results) -> String {
    let mut lines = Vec::new();
    for (colour, order) in Order::ALL.into_iter().enumerate() {
        let rows = || results.keyed.iter().filter(move |row| row.order == order);
        lines.push(Line {
            name: format!("by key, {}", order.name()),
            points: rows().map(|row| (row.keys as f64, row.ours.min)).collect(),
            is_dashed: false,
            colour,
        });
        lines.push(Line {
            name: format!("bare map, {}", order.name()),
            points: rows().map(|row| (row.keys as f64, row.map.min)).collect(),
            is_dashed: true,
            colour,
        });
    }
    Chart {
        title: "A call by key, and a map with nothing else".to_owned(),
        x: "keys".to_owned(),
        y: "ns a call".to_owned(),
        lines,
    }
    .svg()
}

/// On paper, for machines with ten processes each.
fn requests() -> String {
    let line = |(colour, sharing): (usize, Sharing)| Line {
        name: sharing.name().to_owned(),
        points: [1.0, 10.0, 100.0, 1_000.0, 10_000.0]
            .map(|machines| {
                let requests = sharing.a_day(machines, 10.0, fleet::LIFETIME);
                (10.0 * machines, requests)
            })
            .to_vec(),
        is_dashed: false,
        colour,
    };
    Chart {
        title: "Token requests of a fleet, 10 processes a machine, tokens of a day".to_owned(),
        x: "processes".to_owned(),
        y: "requests a day".to_owned(),
        lines: Sharing::ALL.into_iter().enumerate().map(line).collect(),
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::samples;

    fn section(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn what_is_between_marks_is_replaced_and_nothing_else() {
        let page =
            "a\n<!-- figures: x -->\nold\n<!-- end -->\nb\n<!-- figures: y -->\n<!-- end -->\n";
        let sections = [section("x", "new\n"), section("y", "other\n")];
        let once = filled(page, &sections).unwrap();
        assert_eq!(
            once,
            "a\n<!-- figures: x -->\n\nnew\n\n<!-- end -->\nb\n<!-- figures: y -->\n\nother\n\n\
             <!-- end -->\n"
        );
        assert_eq!(filled(&once, &sections).unwrap(), once);
        for broken in ["nothing", "<!-- figures: x -->\nno end"] {
            assert!(filled(broken, &sections[..1]).is_err());
        }
    }

    #[test]
    fn the_page_has_a_place_for_all_that_is_found() {
        let guide = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../crates/bloom-auth/src/guide"
        ));
        let page = fs::read_to_string(guide.join("performance.md")).unwrap();
        let sections = sections(&samples::results());
        assert!(filled(&page, &sections).is_ok());
        assert_eq!(page.matches("<!-- figures:").count(), sections.len());
    }

    #[test]
    fn every_plot_shows_what_it_is_about() {
        let results = samples::results();
        assert!(hot_path(&results).contains("careful client"));
        assert!(threads(&results).contains("try_authorization()"));
        assert!(keys(&results).contains("bare map, random"));
        assert!(requests().contains("Redis"));
    }
}
