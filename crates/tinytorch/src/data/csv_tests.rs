use super::*;
use crate::data::Labels;

fn table(text: &str) -> Table {
    decode_csv("t.csv", text.as_bytes()).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_vec().unwrap()
}

fn error(text: &str) -> String {
    decode_csv("t.csv", text.as_bytes()).unwrap_err().to_string()
}

fn split(text: &str, labels: &str) -> (Vec<f32>, Vec<f32>) {
    let labels = if labels.is_empty() { Labels::Known } else { labels.parse().unwrap() };
    let (inputs, labels) = table(text).split_labels(&labels).unwrap();
    (values(&inputs), values(&labels))
}

#[test]
fn a_header_is_optional() {
    let bare = table("1,2\n3,4\n");
    assert_eq!(bare.names, None);
    assert_eq!(bare.values.shape().dims(), [2, 2]);
    let named = table("\u{feff}a,\"b, c\"\r\n1,2\r\n\r\n3,4");
    assert_eq!(named.names.as_deref().unwrap(), ["a", "b, c"]);
    assert_eq!(values(&named.values), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_row_that_counts_the_columns_names_them() {
    let counted = table("0,1,2\n.5,.6,7\n");
    assert_eq!(counted.names.as_deref().unwrap(), ["0", "1", "2"]);
    assert_eq!(split("0,1,2\n.5,.6,7\n.1,.2,3", "").1, [7.0, 3.0]);
    assert_eq!(table("1,2,3\n4,5,6").names, None);
    let years = table("1990,1991,1992,1993,1994,1995,1996,1997\n1,2,3,4,5,6,7,8\n");
    assert_eq!((years.names.unwrap()[1].as_str(), years.values.shape()[0]), ("1991", 1));
    assert_eq!(table("0,1\n2,3").names, None);
}

#[test]
fn a_nameless_column_that_numbers_the_rows_is_left_out() {
    for text in [",a,label\n0,.5,1\n1,.6,0\n", ",0,1,2\n0,.5,.5,1\n1,.6,.6,0\n"] {
        let left = table(text);
        assert!(!left.names.as_deref().unwrap().contains(&String::new()), "{text}");
        assert_eq!(split(text, "").1, [1.0, 0.0]);
    }
    assert_eq!(table(",a\n3,.5\n1,.6\n").values.shape().dims(), [2, 2]);
}

#[test]
fn fields_may_be_quoted_padded_and_separated_otherwise() {
    assert_eq!(values(&table("\"1\"; -2e3 ;.5").values), [1.0, -2000.0, 0.5]);
    assert_eq!(values(&table("1\t2").values), [1.0, 2.0]);
    assert_eq!(values(&table("7").values), [7.0]);
    assert_eq!(values(&table("1,2\r3,4\r").values), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn decimal_commas_are_read_between_semicolons() {
    assert_eq!(values(&table("a;b\n0,5;-1,25e1\n").values), [0.5, -12.5]);
    assert_eq!(values(&table("0,5;2\n1,5;3\n").values), [0.5, 2.0, 1.5, 3.0]);
    assert!(error("a;b\n0,5;1\n0.5;1\n").contains("line 3 has a decimal point and line 2"));
    assert!(error("a;b\n1,234,567;1\n").contains("1,234,567"));
    assert!(error("a,b\n\"1,234\",1\n2,1").contains("1,234"));
}

#[test]
fn text_is_numbered_in_the_order_of_the_alphabet() {
    for text in ["a,kind\n1,rose\n2,lily\n3,rose\n", "1,rose\n2,lily\n3,rose\n"] {
        assert_eq!(split(text, ""), (vec![1.0, 2.0, 3.0], vec![1.0, 0.0, 1.0]));
        let (column, classes) = table(text).text.unwrap();
        assert_eq!((column, &classes[..]), (1, &["lily".to_string(), "rose".into()][..]));
    }
    assert!(error("a,kind\n1,rose\n2,3\n").contains("line 3, column 2 holds \"3\""));
    assert!(error("1,rose,a\n2,lily,b\n").contains("column 3 holds \"a\""));
    let other = table("a,b,kind\n1,0,rose\n2,1,lily").split_labels(&Labels::First);
    assert!(other.unwrap_err().to_string().contains("column 3 holds text"));
}

#[test]
fn the_label_column_is_known_or_named() {
    let both = (vec![2.0, 3.0, 5.0, 6.0], vec![1.0, 4.0]);
    assert_eq!(split("Label,a,b\n1,2,3\n4,5,6", ""), both);
    assert_eq!(split("1,2,3\n4,5,6", "first"), both);
    assert_eq!(split("q,a,b\n1,2,3\n4,5,6", "Q"), both);
    assert_eq!(split("1,.2,.3\n4,.5,.6", "").1, [1.0, 4.0]);
    assert_eq!(split(".1,.2,3\n.4,.5,6", "").1, [3.0, 6.0]);
    let refused = |text: &str, labels: &str| {
        let labels = if labels.is_empty() { Labels::Known } else { labels.parse().unwrap() };
        table(text).split_labels(&labels).unwrap_err().to_string()
    };
    let unnamed = refused("a,b\n1,2", "");
    assert!(unnamed.starts_with("t.csv") && unnamed.contains("--labels"), "{unnamed}");
    assert!(refused("1,2,3\n4,5,6", "").contains("both the first and the last"));
    assert!(refused("x,y,digit\n1,2,3\n4,5,6", "").contains("column y cannot be known"));
    assert!(refused("x,y,digit\n1,2,3\n4,5,6", "z").contains("they are x, y, digit"));
    assert!(table("1\n2").split_labels(&Labels::Known).is_err());
}

#[test]
fn a_field_that_is_no_number_is_named_by_line_and_column() {
    for (text, place) in [
        ("1,2\n3,x\n", "line 2, column 2 holds \"x\""),
        ("a,b\n\n1,\n", "line 3, column 2 holds \"\""),
        ("1,2\n3,nan\n", "line 2, column 2 holds \"nan\""),
        ("1,inf\n3,4\n", "line 1, column 2 holds \"inf\""),
        ("1,\n3,4\n", "line 1, column 2 holds \"\""),
        ("1,2\n1e99,4\n", "line 2, column 1"),
        ("1,2\n3\n", "line 2 has 1 fields where the first has 2"),
        ("a,b\n1,2\nNA,2\n", "line 3, column 1 holds \"NA\""),
        ("a,b\n1,2\n1_000,2\n", "line 3, column 1 holds \"1_000\""),
        ("", "no row of numbers"),
        ("a,b\n", "no row of numbers"),
    ] {
        let message = error(text);
        assert!(message.starts_with("t.csv") && message.contains(place), "{message}");
    }
    assert!(decode_csv("t", &[b'1', 0xff]).unwrap_err().to_string().contains("line 1"));
    let utf16 = decode_csv("t", &[0xff, 0xfe, b'1', 0]).unwrap_err().to_string();
    assert!(utf16.contains("UTF-16"), "{utf16}");
}
