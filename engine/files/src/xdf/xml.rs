//! What does the XML of a stream's header say? Elements and their text; attributes and comments are passed over.

/// Deeper than this no stream describes itself.
const MAX_DEPTH: usize = 64;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// Its own text, without space around it.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The outermost element of a text.
    pub(super) fn read(xml: &str) -> Result<Self, String> {
        let mut open: Vec<Element> = vec![Element::default()];
        let mut rest = xml;
        while let Some(begin) = rest.find('<') {
            let (text, tag) = rest.split_at(begin);
            let innermost = open.len() - 1;
            open[innermost].text.push_str(&unescape(text));
            if let Some(after) = skip(tag)? {
                rest = after;
                continue;
            }
            let end = tag.find('>').ok_or_else(|| format!("`{}` has no end", start_of(tag)))?;
            rest = &tag[end + 1..];
            let inner = &tag[1..end];
            if let Some(name) = inner.strip_prefix('/') {
                close(&mut open, name.trim())?;
                continue;
            }
            let name = inner.trim_end_matches('/').split_whitespace().next().unwrap_or("").to_owned();
            if name.is_empty() || open.len() > MAX_DEPTH {
                return Err(format!("`{}` has no name or lies too deep", start_of(tag)));
            }
            open.push(Element { name: name.clone(), ..Element::default() });
            if inner.ends_with('/') {
                close(&mut open, &name)?;
            }
        }
        match (open.len(), open.pop().and_then(|mut outside| outside.children.drain(..).next())) {
            (1, Some(element)) => Ok(element),
            _ => Err("its XML is not closed".to_owned()),
        }
    }

    /// The first child of a name.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Text of the first child of a name.
    pub(super) fn text_of(&self, name: &str) -> Option<String> {
        self.child(name).map(|child| child.text.clone())
    }
}

fn close(open: &mut Vec<Element>, name: &str) -> Result<(), String> {
    let mut element = open.pop().filter(|element| element.name == name).ok_or_else(|| format!("`</{name}>` closes nothing"))?;
    element.text = element.text.trim().to_owned();
    open.last_mut().ok_or_else(|| format!("`</{name}>` closes nothing"))?.children.push(element);
    Ok(())
}

/// What follows a declaration, a comment or the like; none when the tag is an element's.
fn skip(tag: &str) -> Result<Option<&str>, String> {
    let end = match tag {
        _ if tag.starts_with("<!--") => "-->",
        _ if tag.starts_with("<?") => "?>",
        _ if tag.starts_with("<!") => ">",
        _ => return Ok(None),
    };
    let at = tag.find(end).ok_or_else(|| format!("`{}` has no end", start_of(tag)))?;
    Ok(Some(&tag[at + end.len()..]))
}

fn start_of(text: &str) -> String {
    text.chars().take(30).collect()
}

fn unescape(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    named.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_texts_are_read() {
        let xml = "<?xml version=\"1.0\"?>\n<info><!-- a > b --><name> A &amp; B </name><desc/><desc><x unit=\"V\"/></desc></info>";
        let info = Element::read(xml).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((info.name.as_str(), info.text_of("name").as_deref()), ("info", Some("A & B")));
        assert_eq!(info.children[2].child("x").map(|x| x.text.as_str()), Some(""));
        for bad in ["", "<", "<a>", "<a></b>", "</a>", "<a><b></a></b>", "<!-- <a></a>", "< ></ >"] {
            assert!(Element::read(bad).is_err(), "{bad}");
        }
        assert!(Element::read(&"<a>".repeat(100_000)).is_err());
    }
}
