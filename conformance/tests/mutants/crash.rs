//! Defects that show after a plugin was killed.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    crash(
        "CRASH.ADD.1",
        "DEL forgets the temporary file",
        &[(r#" "$CNI_CONTAINERID.half" ;;"#, ";;")],
    ),
    Mutant {
        crash_every: "8",
        ..crash(
            "CRASH.ADD.2",
            "the next ADD refuses the temporary file",
            &[
                (r#" "$CNI_CONTAINERID.half" ;;"#, ";;"),
                ("ADD)", r#"ADD) [ ! -e "$CNI_CONTAINERID.half" ] || exit 1;"#),
            ],
        )
    },
    crash(
        "CRASH.DEL.1",
        "DEL does not go on with what an earlier one left",
        &[(
            "DEL)",
            r#"DEL) [ ! -e "$CNI_CONTAINERID" ] ||
            { mv "$CNI_CONTAINERID" "$CNI_CONTAINERID.gone"; rm -f "$CNI_CONTAINERID.gone"; };"#,
        )],
    ),
    crash("CRASH.ADD.3,CRASH.DEL.2", "GC does nothing", &[("GC)", "GC) exit;")]),
];

/// A defect in a plugin that keeps files.
const fn crash(
    ids: &'static str,
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
) -> Mutant {
    let real = Some(include_str!("crash.sh"));
    Mutant { real, edits, ..mutant("loopback", ids, name, "") }
}
