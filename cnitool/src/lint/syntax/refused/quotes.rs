//! Finds missing quotation marks and brackets, because a parser reports only the text after them.

use super::Explanation;

/// A string with its quotation marks, or a brace or bracket outside of strings.
enum Piece {
    Text(usize, usize),
    Opens(usize),
    Closes,
}

/// Splits a text into pieces. The last string may have no closing quotation mark.
fn pieces(json: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = json.char_indices();
    while let Some((start, c)) = chars.next() {
        match c {
            '{' | '[' => pieces.push(Piece::Opens(start)),
            '}' | ']' => pieces.push(Piece::Closes),
            '"' => {
                let mut end = json.len();
                while let Some((at, c)) = chars.next() {
                    if c == '\\' {
                        chars.next();
                    } else if c == '"' {
                        end = at + 1;
                        break;
                    }
                }
                pieces.push(Piece::Text(start, end));
            }
            _ => {}
        }
    }
    pieces
}

/// The last brace or bracket that is not closed.
pub(super) fn last_opened(json: &str) -> Option<usize> {
    let mut open = Vec::new();
    for piece in pieces(json) {
        match piece {
            Piece::Opens(at) => open.push(at),
            Piece::Closes => drop(open.pop()),
            Piece::Text(..) => {}
        }
    }
    open.pop()
}

/// The position of a missing quotation mark, if it is the reason why the parser stopped at
/// `stopped`.
pub(super) fn missing(json: &str, stopped: usize) -> Option<((usize, usize), Explanation)> {
    let texts = pieces(json).into_iter().filter_map(|piece| match piece {
        Piece::Text(start, end) if start <= stopped => Some((start, end)),
        _ => None,
    });
    for (start, end) in texts {
        let inside = json.get(start + 1..end)?.trim_end_matches('"');
        // In `"name: "pods"`, the first string ends where the value begins.
        let key = inside.trim_end().strip_suffix(':').filter(|_| end <= stopped);
        if let Some(key) = key.filter(|key| !key.is_empty() && key.chars().all(is_of_key)) {
            let help = format!("write \"{key}\":");
            let what = "a quotation mark is missing after this key".to_owned();
            return Some(((start, start + 1 + key.len()), (what, "", help)));
        }
        // A string cannot contain a line break.
        if let Some(line) = inside.split_once('\n').map(|(line, _)| line.trim_end()) {
            let text = line.trim_end_matches([',', '}', ']', ' ', '\t']);
            let what = "a quotation mark is missing at the end of this text".to_owned();
            return Some((
                (start, start + 1 + text.len()),
                (what, "", format!("write \"{text}\"")),
            ));
        }
    }
    None
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
