//! A report for a terminal: the failures with their evidence, and a table.

use super::{Count, Report};
use crate::case::Verdict;

/// Shows a report as text. `verbose` shows every case; otherwise only what did not pass.
pub fn table(report: &Report, folder: &str, verbose: bool) -> String {
    let mut text = String::new();
    for case in &report.cases {
        let ended = &case.ended;
        let shown = match ended.verdict {
            Verdict::Failed | Verdict::Broken => true,
            Verdict::Untestable | Verdict::Passed | Verdict::Absent => verbose,
        };
        if !shown {
            continue;
        }
        let verdict = format!("{:?}", ended.verdict).to_lowercase();
        text.push_str(&format!(
            "{verdict}: {} {} {}\n",
            case.requirement, case.plugin, case.version
        ));
        if let Some(asked) = report.requirements.iter().find(|asked| asked.id == case.requirement) {
            text.push_str(&format!("  asked     {} ({})\n", asked.says, asked.source));
        }
        if let Some(finding) = &ended.finding {
            for (name, what) in
                [("done", &finding.done), ("expected", &finding.expected), ("seen", &finding.seen)]
            {
                text.push_str(&format!("  {name:<9} {}\n", what.replace('\n', "\n            ")));
            }
            text.push_str(&format!("  repeat    {}\n", report.repeat(case, folder)));
        }
        if !ended.lab.is_empty() {
            text.push_str(&format!("  in lab    Linux {}\n", ended.lab));
        }
        if !ended.why.is_empty() {
            text.push_str(&format!("  why       {}\n", ended.why));
        }
        if verbose {
            for call in &ended.calls {
                text.push_str(&format!("  $ {}\n    {}\n", call.shell, call.status));
                for line in call.stdout.lines().chain(call.stderr.lines()) {
                    text.push_str(&format!("    {line}\n"));
                }
            }
        }
        ended.notes.iter().for_each(|note| text.push_str(&format!("  note      {note}\n")));
    }
    for (name, why) in &report.not_judged {
        text.push_str(&format!("not judged: {name}: {why}\n"));
    }
    text.push_str(&in_lab(report));
    let Count { passed, failed, absent, untestable, broken } = report.count();
    text.push_str(&format!(
        "{}: {passed} passed, {failed} failed, {absent} not asked of the plugin, {untestable} not testable here, {broken} broken, in {:.1} s\n",
        report.label, report.seconds
    ));
    text
}

/// How many cases ran in the lab, if any did.
fn in_lab(report: &Report) -> String {
    let kernels = report.cases.iter().map(|case| case.ended.lab.as_str());
    let kernels: Vec<&str> = kernels.filter(|kernel| !kernel.is_empty()).collect();
    kernels.first().map_or_else(String::new, |kernel| {
        format!("{} of the cases ran in the lab, on Linux {kernel}\n", kernels.len())
    })
}
