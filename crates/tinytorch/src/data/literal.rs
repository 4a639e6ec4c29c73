//! The few Python literals that an NPY header is made of.

/// A cursor over a literal. Every method skips white space first.
pub(super) struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    pub(super) fn new(text: &'a str) -> Literal<'a> {
        Literal(text)
    }

    /// What is left.
    pub(super) fn rest(&mut self) -> &'a str {
        self.0 = self.0.trim_start();
        self.0
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn peek(&mut self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes this character if it comes next.
    pub(super) fn eat(&mut self, c: char) -> bool {
        self.rest().strip_prefix(c).inspect(|rest| self.0 = rest).is_some()
    }

    /// As [`Literal::eat`], for a character that has to come.
    pub(super) fn expect(&mut self, c: char) -> Option<()> {
        self.eat(c).then_some(())
    }

    /// A string in single or double quotes, without escapes.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"'))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest;
        (!text.contains('\\')).then_some(text)
    }

    /// `True` or `False`.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        let text = self.rest();
        let (value, rest) = match text.strip_prefix("True") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("False")?),
        };
        self.0 = rest;
        Some(value)
    }

    /// A tuple of sizes: `()`, `(3,)`, `(3, 4)`.
    pub(super) fn tuple(&mut self) -> Option<Vec<usize>> {
        let mut sizes = Vec::new();
        self.expect('(')?;
        while !self.eat(')') {
            let text = self.rest();
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            sizes.push(text[..digits].parse().ok()?);
            // Python 2 wrote long integers as `3L`.
            self.0 = text[digits..].strip_prefix('L').unwrap_or(&text[digits..]);
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Some(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_as_python_writes_them() {
        for (text, sizes) in [("()", vec![]), (" (3,)", vec![3]), ("( 3 , 4L )", vec![3, 4])] {
            let mut literal = Literal::new(text);
            assert_eq!(literal.tuple(), Some(sizes));
            assert!(literal.at_end());
        }
        for text in ["", "(", "(,)", "(-1,)", "(3 4)", "(99999999999999999999999,)"] {
            assert_eq!(Literal::new(text).tuple(), None, "{text}");
        }
    }

    #[test]
    fn strings_end_at_their_own_quote() {
        let mut literal = Literal::new(" 'a\"b' : \"c\"");
        assert_eq!(literal.string(), Some("a\"b"));
        assert!(literal.eat(':'));
        assert_eq!(literal.string(), Some("c"));
        assert_eq!(Literal::new("'open").string(), None);
        assert_eq!(Literal::new(r"'\x41'").string(), None);
    }
}
