use serde_json::json;

use super::*;

fn yaml(text: &str) -> Document {
    Document::read(0, text.as_bytes(), false).unwrap()
}

fn place(line: usize, column: usize) -> Place {
    Place { file: 0, line, column }
}

#[test]
fn words_mean_what_they_mean_to_envoy() {
    let text =
        "[yes, Off, TRUE, tRUE, 1, -2, 0x10, 010, 2147483648, 1.5, ~, '1', on, 1s, 08, \"\"]";
    let expected = json!([
        true,
        false,
        true,
        "tRUE",
        1,
        -2,
        16,
        8,
        "2147483648",
        "1.5",
        null,
        "1",
        true,
        "1s",
        "08",
        ""
    ]);
    assert_eq!(yaml(text).root.to_json(), expected);
    let json = r#"{"a": [true, 1, 2147483648, 1.5, "\ud83d\ude00\/", null, {}, []]}"#;
    let expected = json!({"a": [true, 1, 2_147_483_648_u64, 1.5, "😀/", null, {}, []]});
    assert_eq!(yaml(json).root.to_json(), expected);
}

#[test]
fn everything_knows_where_it_stands() {
    let document = yaml("# a\nb:\n- c: &x {d: 1}\n- e: *x\n");
    let root = &document.root;
    let list = root.member("b").unwrap();
    assert_eq!(list.place, place(2, 1));
    let Kind::List(items) = &list.value.kind else { panic!("{list:?}") };
    assert_eq!(items[0].member("c").unwrap().place, place(3, 3));
    let alias = items[1].member("e").unwrap();
    assert_eq!(alias.place, place(4, 3));
    assert_eq!(alias.value.member("d").unwrap().place, place(3, 10));
    let tabbed = Document::read(0, b"{\n\t\"a\": {\"b\":\t1}}", true).unwrap();
    let inner = tabbed.root.member("a").unwrap();
    assert_eq!((inner.place, inner.value.member("b").unwrap().place), (place(2, 2), place(2, 8)));
}

#[test]
fn json_in_a_block_of_lines_has_the_places_of_the_file() {
    let document = yaml("a: |\n\n  {\n    \"b\": 1\n  }\nc: '{\"b\":\n  1}'\n");
    let inner = |name: &str| {
        let member = document.root.member(name).unwrap();
        let Kind::Text(text) = &member.value.kind else { panic!("{member:?}") };
        Node::of_json(text, member.value.place).unwrap().member("b").unwrap().place
    };
    assert_eq!((inner("a"), inner("c")), (place(4, 5), place(6, 4)));
}

#[test]
fn both_spellings_are_one_field_and_the_last_counts() {
    let document = yaml("a_b: 1\naB: 2\nc: {d: 1, d: 2}\n");
    assert!(matches!(document.root.member("a_b").unwrap().value.kind, Kind::Whole(2)));
    let mut repeated = Vec::new();
    document.root.each_member("", &mut |path, member, is_repeated| {
        if is_repeated {
            repeated.push((path.to_owned(), member.place));
        }
    });
    let expected = [("aB".to_owned(), place(2, 1)), ("c.d".to_owned(), place(3, 11))];
    assert_eq!(repeated, expected);
}

#[test]
fn hostile_bytes_are_refused_with_a_line() {
    let bomb: String = (1..40).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)
    });
    let ladder: String = (1..200)
        .fold("a0: &a0 [x]\n".to_owned(), |text, n| text + &format!("a{n}: &a{n} [*a{}]\n", n - 1));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (bomb.into_bytes(), "at most 1000000 values"),
        (ladder.into_bytes(), "nested at most 100 deep"),
        ("[".repeat(100_000).into_bytes(), "YAML"),
        ("- ".repeat(100_000).into_bytes(), "nested at most 100 deep"),
        ("{\"a\":".repeat(100_000).into_bytes(), "YAML"),
        ("a: &a [*a]".into(), "an alias of a value that is complete"),
        ("a: *b".into(), "YAML"),
        ("a:\n\tb: 1".into(), "YAML"),
        ("? [a]\n: b".into(), "a name"),
        (
            (0..10_001).map(|n| format!("a{n}: 1\n")).collect::<String>().into_bytes(),
            "fields in one place",
        ),
        (vec![b'\n', 0xff, 0xfe], "text in UTF-8"),
        (vec![b' '; BYTES_MAX + 1], "at most 4194304 bytes"),
        (Vec::new(), "an Envoy configuration"),
        ("# only words".into(), "an Envoy configuration"),
        ("~".into(), "an Envoy configuration"),
    ];
    for (bytes, expected) in cases {
        let mistake = Document::read(0, &bytes, false).unwrap_err();
        assert!(mistake.expected.contains(expected), "{mistake:?}, not {expected}");
    }
    let deep = Document::read(0, "{\"a\":".repeat(100_000).as_bytes(), true).unwrap_err();
    assert!(deep.expected.contains("nested at most 100 deep"), "{deep:?}");
    for json in
        ["", "{", "{\"a\"}", "[1 2]", "{\"a\": nul}", "\"a", "1e", "{} x", "\"\\x\"", "[1,]"]
    {
        assert!(Document::read(0, json.as_bytes(), true).is_err(), "{json}");
    }
}

#[test]
fn a_second_document_is_seen() {
    assert_eq!(yaml("a: 1\n").second, None);
    assert_eq!(yaml("---\na: 1\n---\nb: 2\n").second, Some(place(3, 1)));
}
