//! The badge: an SVG image with the claim of a report.

use super::{Claim, Report};
use crate::edition::NAME;

/// The badge of a report.
pub fn badge(report: &Report) -> String {
    let claim = Claim::of(report);
    let tested = claim.met + claim.failed.len();
    let (colour, text) = match () {
        () if claim.holds() => ("#2a7d3f", format!("conforms, {tested} musts")),
        () if claim.failed.is_empty() => ("#8a6d1a", format!("{tested} musts, incomplete")),
        () => ("#b3312c", format!("{} of {tested} musts", claim.met)),
    };
    // Widths for a font of 11 pixels.
    let (left, right) = (7 * NAME.len() + 12, 7 * text.len() + 12);
    let (width, first, second) = (left + right, left / 2, left + right / 2);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{NAME}: {text}">
<rect width="{left}" height="20" fill="#444"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/>
<g fill="#fff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">
<text x="{first}" y="14">{NAME}</text><text x="{second}" y="14">{text}</text></g>
</svg>
"##
    )
}
