//! The results as one picture, in the style of the other one.

use super::{Figures, NO_NETWORK, Row, Sandboxes};
use crate::contestant::OURS;
use crate::svg::{Bar, Page, Panel, Section};

/// The picture.
pub fn picture(results: &Sandboxes) -> String {
    let quick = if results.quick { " · a quick run" } else { "" };
    let mut page = Page::new(
        "Time that pods' sandboxes take",
        "What a network costs a pod",
        &[
            &format!("{} · {}{quick}", results.runtime, results.machine),
            "Milliseconds from request to answer, medians; shorter is better, “ours” is ferrocni \
             divided by that row. What is paler is the runtime's:",
            "a sandbox without a network of its own takes as long.",
        ],
    );
    for rows in results.groups() {
        let Some(Row { title, at_once, .. }) = rows.first() else { continue };
        let how = match at_once {
            1 => "one after another".to_owned(),
            many => format!("{many} at once, until the last is done"),
        };
        page.draw(&Section {
            title: format!("{title}: {how}"),
            panels: rows.iter().map(panel).collect(),
        });
    }
    page.end()
}

fn panel(row: &Row) -> Panel {
    let without = row.figures.iter().find(|figures| figures.label == NO_NETWORK);
    let base = without.map(|figures| figures.all);
    let bar = |figures: &Figures| Bar {
        label: figures.label.clone(),
        class: match figures.label.as_str() {
            OURS => "ours",
            NO_NETWORK => "floor",
            _ => "peer",
        },
        value: figures.all,
        base: base.filter(|base| figures.label != NO_NETWORK && *base < figures.all),
        note: figures.ratio.map_or(String::new(), |ratio| format!("ours {ratio:.2} ×")),
    };
    let drawn = row.figures.iter().filter(|figures| figures.turns > 0);
    Panel { title: format!("{}, milliseconds", row.verb), bars: drawn.map(bar).collect() }
}
