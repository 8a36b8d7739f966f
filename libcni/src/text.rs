//! Prepares foreign text for messages: without control characters, and limited in length.

/// The maximum number of characters of one word, such as a name or a value, in a message.
const WORD: usize = 200;

/// The maximum number of characters of one line of a message.
const LINE: usize = 1000;

/// The number of characters shown of the end of a line that is too long, because the end says what
/// was expected.
const END: usize = 200;

/// The maximum number of lines of a message, and of bytes in all of them. CHECK has a line for each
/// difference, and a plugin's standard error has up to 16 KiB.
const LINES: usize = 1000;
const BYTES: usize = 64 << 10;

/// Escapes control characters in a foreign name or value, and cuts it if it is too long, to show it
/// as one word.
///
/// ```
/// assert_eq!(libcni::text::excerpt("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
/// assert_eq!(libcni::text::excerpt(&"x".repeat(100_000)).len(), 203);
/// ```
pub fn excerpt(text: &str) -> String {
    let mut excerpt = String::new();
    cut(text, WORD, &mut excerpt);
    excerpt
}

/// Prepares one line of a message. Keeps the beginning of a word that is too long, and the
/// beginning and the end of a line that is too long.
pub fn line(text: &str) -> String {
    if text.len() <= WORD && !text.contains(is_unfit) {
        return text.to_owned();
    }
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        cut(word, WORD, &mut line);
    }
    let count = line.chars().count();
    if count <= LINE {
        return line;
    }
    let head: String = line.chars().take(LINE - END).collect();
    let tail: String = line.chars().skip(count - END).collect();
    format!("{head}...{tail}")
}

/// Prepares a message of several lines.
pub fn lines(text: &str) -> String {
    let mut lines = String::new();
    let mut all = text.split('\n');
    for (count, one) in all.by_ref().enumerate() {
        if count == LINES || lines.len() > BYTES {
            lines.push_str("\n...");
            break;
        }
        if count > 0 {
            lines.push('\n');
        }
        lines.push_str(&line(one));
    }
    lines
}

/// Appends at most this many characters of a text, escaped.
fn cut(text: &str, most: usize, to: &mut String) {
    for (count, c) in text.chars().enumerate() {
        if count == most {
            to.push_str("...");
            // Keep the quotation mark, the comma or the space at the end of the word.
            let end = text.strip_suffix(' ').unwrap_or(text);
            let end = end.strip_suffix(',').unwrap_or(end);
            let end = end.strip_suffix('"').unwrap_or(end);
            to.push_str(text.get(end.len()..).unwrap_or_default());
            return;
        }
        match is_unfit(c) {
            true => to.extend(c.escape_default()),
            false => to.push(c),
        }
    }
}

/// Characters that move a terminal's cursor, end a line, or change the direction of text.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_stay_as_they_are() {
        let text = "mtu: invalid type: string \"big\", expected u32 – größer";
        assert_eq!(line(text), text);
        assert_eq!(lines("a\nb\n"), "a\nb\n");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            line("a\u{1b}[31m\tb\nc\0\u{9b}\u{202e}"),
            "a\\u{1b}[31m\\tb\\nc\\u{0}\\u{9b}\\u{202e}"
        );
        assert_eq!(lines("a\r\nb\u{7}"), "a\\r\nb\\u{7}");
    }

    #[test]
    fn long_words_and_lines_are_cut() {
        let value = "x".repeat(100_000);
        let shown = line(&format!("invalid type: string \"{value}\", expected u32"));
        let cut = "x".repeat(199);
        assert_eq!(shown, format!("invalid type: string \"{cut}...\", expected u32"));
        let shown =
            line(&format!("invalid type: string \"{}\", expected u32", "x y ".repeat(25_000)));
        assert!(shown.chars().count() <= LINE + 3 && shown.ends_with("expected u32"), "{shown}");
        let shown = lines(&"\n".repeat(100_000));
        assert!(shown.len() <= LINES + 4 && shown.ends_with("\n..."));
        assert!(lines(&format!("{}\n", "y ".repeat(2_000)).repeat(500)).len() <= BYTES + 2 * LINE);
    }
}
