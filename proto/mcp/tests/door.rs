//! What many servers offer on one door, against a full parser: names, URIs, pages of lists, curated items and arguments.
#![allow(clippy::unwrap_used, reason = "tests")]

mod json;

use bytes::Bytes;
use json::{Node, Tree, tree, tree_of};
use proptest::{collection::vec, prelude::*, sample::select};
use sluice_mcp::{
    ArgumentError, EXPOSED_NAME_CHARS, ItemEdit, ListError, Method, ScanLimits, decode_string, edit_arguments,
    edit_item, expose_uri, exposed_name, join, list_page, scan, splice, split_server, split_uri, template_matches,
    uri_token,
};
use smallvec::SmallVec;

const LISTS: &[Method] =
    &[Method::ToolsList, Method::PromptsList, Method::ResourcesList, Method::ResourcesTemplatesList];

const KEYS: &[&str] = &[
    "name",
    "name",
    "uri",
    "uriTemplate",
    "title",
    "description",
    "annotations",
    "inputSchema",
    "inputSchema",
    "properties",
    "required",
    "default",
    "_meta",
    "ui",
    "ui/resourceUri",
    "resourceUri",
    "a",
    "b",
    "c",
    "a\"b\\",
    "arguments",
    "type",
];

const TEXTS: &[&str] = &["a", "b", "c", "a\"b\\", "ui://x", "ui://\u{e9}", "file:///a", "", "name"];

/// Arguments and members that edits are about: names with raw values.
const VALUES: &[(&str, &str)] = &[
    ("a", "1.50"),
    ("b", "{\"c\":[]}"),
    ("c", "null"),
    ("a\"b\\", "\"\\u0041\""),
    ("none", "true"),
    ("annotations", "[ ]"),
];

/// Some of the values, none twice.
fn some() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    proptest::sample::subsequence(VALUES, 0..4)
}

/// An object that looks like an item of a list, more or less.
fn item() -> impl Strategy<Value = Tree> {
    let tree = || tree_of(KEYS, TEXTS);
    let texts = vec(select(TEXTS).prop_map(Tree::Text), 0..5).prop_map(Tree::Array);
    let properties = vec((select(KEYS), tree()), 0..5).prop_map(Tree::Object);
    let schema =
        vec(prop_oneof![(Just("properties"), properties), (Just("required"), texts), (select(KEYS), tree())], 0..4);
    let member = prop_oneof![
        3 => (Just("inputSchema"), schema.prop_map(Tree::Object)),
        1 => (Just("_meta"), tree()),
        1 => (Just("annotations"), tree()),
        4 => (select(KEYS), tree()),
    ];
    prop_oneof![9 => vec(member, 0..6).prop_map(Tree::Object), 1 => tree()]
}

/// An item as it is in a scanned message: without space around it.
fn trimmed(tree: &Tree, seed: u64) -> Bytes {
    Bytes::from(tree.spell(seed).trim().to_owned())
}

fn parsed(raw: &str) -> Node {
    Node::parse(raw.as_bytes()).unwrap()
}

/// Sets a member of an object: each of that name, or a new one at the end.
fn set(node: &mut Node, name: &str, value: &Node) {
    let Node::Object(members) = node else { return };
    let mut found = false;
    for (_, old) in members.iter_mut().filter(|(key, _)| key == name) {
        *old = value.clone();
        found = true;
    }
    if !found {
        members.push((name.to_owned(), value.clone()));
    }
}

fn each<'n>(node: &'n mut Node, name: &'n str) -> impl Iterator<Item = &'n mut Node> {
    let members = match node {
        Node::Object(members) => members.as_mut_slice(),
        _ => &mut [],
    };
    members.iter_mut().filter(move |(key, _)| key == name).map(|(_, value)| value)
}

/// The item after an edit, by the rules, not by the code.
fn model(mut item: Node, method: Method, edit: &ItemEdit<'_>) -> Node {
    if !matches!(item, Node::Object(_)) {
        return item;
    }
    for (key, value) in
        [(method.item_key().unwrap(), edit.name), ("title", edit.title), ("description", edit.description)]
    {
        if let Some(value) = value {
            set(&mut item, key, &Node::Text(value.to_owned()));
        }
    }
    if !edit.annotations.is_empty() {
        if item.get("annotations").is_none() {
            set(&mut item, "annotations", &Node::Null);
        }
        for old in each(&mut item, "annotations") {
            if !matches!(old, Node::Object(_)) {
                *old = Node::Object(Vec::new());
            }
            edit.annotations.iter().for_each(|(name, value)| set(old, name, &parsed(value)));
        }
    }
    if method == Method::ToolsList {
        each(&mut item, "inputSchema").for_each(|schema| model_schema(schema, edit));
    }
    let expose = |uri: &mut Node| {
        if let (Node::Text(text), Some(token)) = (&*uri, edit.uri_token)
            && let Some(rest) = text.strip_prefix("ui://")
        {
            *uri = Node::Text(format!("ui://{token}/{rest}"));
        }
    };
    for meta in each(&mut item, "_meta") {
        each(meta, "ui/resourceUri").for_each(expose);
        each(meta, "ui").for_each(|ui| each(ui, "resourceUri").for_each(expose));
    }
    item
}

fn model_schema(schema: &mut Node, edit: &ItemEdit<'_>) {
    let has = |list: &[(&str, &str)], name: &str| list.iter().any(|(listed, _)| *listed == name);
    for properties in each(schema, "properties") {
        let Node::Object(members) = properties else { continue };
        members.retain(|(name, _)| !has(edit.forced, name));
        for (name, property) in members {
            let Some((_, value)) = edit.defaults.iter().find(|(default, _)| default == name) else { continue };
            if *property == Node::Bool(true) {
                *property = Node::Object(Vec::new());
            }
            set(property, "default", &parsed(value));
        }
    }
    for required in each(schema, "required") {
        let Node::Array(names) = required else { continue };
        names.retain(|name| !matches!(name, Node::Text(name) if has(edit.forced, name) || has(edit.defaults, name)));
    }
}

/// A page of a list, by the rules: the names of its items, or what is wrong.
fn model_page(result: &Node, method: Method) -> Result<Vec<String>, ListError> {
    let Node::Object(_) = result else { return Err(ListError::NoResult) };
    match result.get("nextCursor") {
        None | Some(Node::Null | Node::Text(_)) => {}
        _ => return Err(ListError::BadCursor),
    }
    let (items_key, key) = (method.items_key().unwrap(), method.item_key().unwrap());
    let Some(Node::Array(items)) = result.get(items_key) else { return Err(ListError::NoItems(items_key)) };
    // what nobody could ask for by one name is left out
    let name = |item: &Node| {
        let Node::Object(members) = item else { return None };
        let mut names = members.iter().filter(|(name, _)| name == key).map(|(_, value)| value);
        match (names.next(), names.next()) {
            (Some(Node::Text(name)), None) if !name.is_empty() => Some(name.clone()),
            _ => None,
        }
    };
    Ok(items.iter().filter_map(name).collect())
}

/// The characters a URI is made of here: few, so that much happens.
fn uri() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z][a-zA-Z0-9+.-]{0,5}:[a-z/:+?{}é]{0,12}",
        "(ui|UI|Ui)://[a-z/:+é]{0,9}",
        "[a-zA-Z:/+{} é]{0,12}",
        any::<String>(),
    ]
}

/// Whether a template may have become a URI, by trying everything.
fn matches_slowly(template: &str, uri: &str) -> bool {
    let Some(first) = template.chars().next() else { return uri.is_empty() };
    let Some((inside, rest)) = template.strip_prefix('{').and_then(|inside| inside.split_once('}')) else {
        return uri.strip_prefix(first).is_some_and(|uri| matches_slowly(&template[first.len_utf8()..], uri));
    };
    let (operator, slashes) = match inside.chars().next() {
        Some('+') => (None, true),
        Some(operator @ ('#' | '/' | '?' | '&')) => (Some(operator), true),
        Some(operator @ ('.' | ';')) => (Some(operator), false),
        _ => (None, false),
    };
    if matches_slowly(rest, uri) {
        return true;
    }
    let Some(value) = operator.map_or(Some(uri), |operator| uri.strip_prefix(operator)) else { return false };
    let ends = value.char_indices().map(|(at, _)| at).chain([value.len()]);
    ends.take_while(|&end| slashes || !value[..end].contains('/')).any(|end| matches_slowly(rest, &value[end..]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exposed_names_fit_and_belong_to_their_server(server in "[A-Za-z0-9-]{1,32}", name in "\\PC{0,80}", other in "\\PC{0,80}") {
        let exposed = exposed_name(&server, &name);
        prop_assert!(exposed.chars().count() <= EXPOSED_NAME_CHARS);
        let (found, rest) = split_server(&exposed).unwrap();
        prop_assert_eq!(found, &server);
        if server.len() + 1 + name.chars().count() <= EXPOSED_NAME_CHARS {
            prop_assert_eq!(rest, &name);
        } else {
            prop_assert_eq!(exposed.chars().count(), EXPOSED_NAME_CHARS);
        }
        prop_assert_eq!(exposed == exposed_name(&server, &other), name == other);
    }

    #[test]
    fn exposed_uris_lead_back(server in "[A-Za-z0-9-]{1,32}", uri in uri()) {
        let token = uri_token(&server, &|token| token == "a");
        let exposed = expose_uri(&token, &uri);
        prop_assert_eq!(split_uri(&exposed), Some((token.clone(), uri.clone())));
        // a client that puts the scheme in lower case changes at most the case of the server's scheme
        let (scheme, rest) = exposed.split_once(':').unwrap();
        let (back, lowered) = split_uri(&format!("{}:{rest}", scheme.to_ascii_lowercase())).unwrap();
        prop_assert_eq!(back, token);
        let scheme = uri.split_once(':').map_or(0, |(scheme, _)| scheme.len());
        prop_assert_eq!(&lowered[scheme..], &uri[scheme..]);
        prop_assert!(lowered.eq_ignore_ascii_case(&uri));
    }

    #[test]
    fn what_splits_is_exposed_to_the_same_parts(exposed in uri()) {
        if let Some((token, uri)) = split_uri(&exposed) {
            prop_assert_eq!(split_uri(&expose_uri(&token, &uri)), Some((token.clone(), uri)));
            prop_assert_eq!(uri_token(&token, &|_| false), token);
        }
    }

    #[test]
    fn templates_match_as_trying_everything_does(template in "(ab?|/|é|#|\\{[+#./;?&]?x\\*?\\}|\\{|\\}){0,6}", uri in "[ab/é#.;?&x{}]{0,8}") {
        prop_assert_eq!(template_matches(&template, &uri), matches_slowly(&template, &uri));
    }

    #[test]
    fn templates_match_what_they_expand_to(parts in vec(("[a-z/:é]{0,4}", "[a-z0-9%é.-]{0,5}", "[a-z0-9/:]{0,5}"), 1..4)) {
        let (mut template, mut uri) = (String::new(), String::new());
        for (literal, simple, reserved) in &parts {
            template += &format!("{literal}{{simple}}{{+reserved}}{{/more}}{{?query*}}");
            uri += &format!("{literal}{simple}{reserved}/{simple}?q={simple}");
        }
        prop_assert!(template_matches(&template, &uri));
    }

    #[test]
    fn a_page_is_read_as_a_parser_reads_it(
        items in vec(prop_oneof![4 => item(), 1 => tree()], 0..4),
        others in vec((select(&["tools", "nextCursor", "ttlMs", "cacheScope", "uri"][..]), tree()), 0..3),
        method in select(LISTS),
        names: bool,
        seed: u64,
    ) {
        // often each item has its one name
        let named = |item| match item {
            Tree::Object(mut members) if names => {
                members.retain(|(key, _)| *key != method.item_key().unwrap());
                members.push((method.item_key().unwrap(), Tree::Text("x")));
                Tree::Object(members)
            }
            other => other,
        };
        let mut members = others;
        members.push((method.items_key().unwrap(), Tree::Array(items.into_iter().map(named).collect())));
        let tree = Tree::Object(vec![("jsonrpc", Tree::Text("2.0")), ("id", Tree::Raw("1")), ("result", Tree::Object(members))]);
        let body = tree.spell(seed);
        let Ok(message) = scan(body.as_bytes(), ScanLimits::default()) else { return Ok(()) };
        let node = Node::parse(body.as_bytes()).unwrap();
        let result = node.get("result").unwrap();
        let page = list_page(body.as_bytes(), &message, method);
        let found = page.as_ref().map_err(|error| *error).map(|page| {
            page.items.iter().map(|item| decode_string(item.name.of(body.as_bytes())).into_owned()).collect::<Vec<_>>()
        });
        prop_assert_eq!(found, model_page(result, method));
        if let Ok(page) = page {
            let items: Vec<_> = page.items.iter().map(|item| parsed(&body[item.span.range()])).collect();
            let Some(Node::Array(all)) = result.get(method.items_key().unwrap()) else { panic!("an array") };
            prop_assert_eq!(items.len() + page.nameless, all.len());
            let mut rest = all.iter();
            prop_assert!(items.iter().all(|item| rest.any(|one| one == item)), "some of them, in order");
            prop_assert_eq!(page.private, result.get("cacheScope").is_some_and(|scope| *scope != Node::Text("public".into())));
            let milliseconds = match result.get("ttlMs") {
                Some(Node::Int(n)) => Some(u64::try_from((*n).max(0)).unwrap()),
                Some(Node::Float(n)) => Some(*n as u64),
                _ => None,
            };
            prop_assert_eq!(page.ttl_ms, milliseconds);
            prop_assert_eq!(page.next_cursor.is_some(), matches!(result.get("nextCursor"), Some(Node::Text(_))));
        }
    }

    #[test]
    fn an_item_is_edited_as_its_value_would_be(
        tree in item(),
        seed: u64,
        method in select(LISTS),
        texts in vec(proptest::option::of("[a-z\"é\n]{0,6}"), 3),
        annotations in some(),
        defaults in some(),
        forced in some(),
        token in proptest::option::of(Just("fs")),
    ) {
        let item = trimmed(&tree, seed);
        let annotations: Vec<_> = annotations.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let edit = ItemEdit {
            name: texts[0].as_deref(),
            title: texts[1].as_deref(),
            description: texts[2].as_deref(),
            annotations: &annotations,
            defaults: &defaults,
            forced: &forced,
            uri_token: token,
        };
        let edited = edit_item(&item, method, &edit);
        prop_assert_eq!(Node::parse(&edited), Some(model(Node::parse(&item).unwrap(), method, &edit)));
        if Node::parse(&edited) == Node::parse(&item) && texts.iter().all(Option::is_none) && token.is_none() {
            // only a value that was there before may be spelled anew
            prop_assert!(edited == item || !(annotations.is_empty() && defaults.is_empty()));
        }
        let again = ItemEdit { uri_token: None, ..edit };
        prop_assert_eq!(edit_item(&edited, method, &again), edited);
    }

    #[test]
    fn arguments_are_completed_as_their_value_would_be(
        arguments in proptest::option::of(prop_oneof![4 => vec((select(KEYS), tree()), 0..5).prop_map(Tree::Object), 1 => tree()]),
        others in vec((select(&["name", "_meta", "x"][..]), tree()), 0..3),
        defaults in some(),
        forced in some(),
        seed: u64,
    ) {
        let mut params = others;
        params.extend(arguments.map(|arguments| ("arguments", arguments)));
        let tree = Tree::Object(vec![
            ("jsonrpc", Tree::Text("2.0")), ("id", Tree::Raw("1")), ("method", Tree::Text("tools/call")), ("params", Tree::Object(params)),
        ]);
        let body = Bytes::from(tree.spell(seed));
        let Ok(message) = scan(&body, ScanLimits::default()) else { return Ok(()) };
        let mut edits = SmallVec::new();
        let outcome = edit_arguments(&body, &message, &defaults, &forced, &mut edits);
        if defaults.is_empty() && forced.is_empty() {
            prop_assert!(outcome.is_ok() && edits.is_empty());
            return Ok(());
        }
        let node = Node::parse(&body).unwrap();
        let mut given = node.get("params").unwrap().get("arguments").cloned().unwrap_or(Node::Object(Vec::new()));
        match outcome {
            Err(ArgumentError::NotAnObject) => prop_assert!(!matches!(given, Node::Object(_))),
            Err(ArgumentError::Duplicate { .. }) => prop_assert!(given.has_duplicates()),
            Err(ArgumentError::NoParams) => prop_assert!(false),
            Ok(()) => {
                prop_assert!(matches!(given, Node::Object(_)) && !given.has_duplicates());
                forced.iter().for_each(|(name, value)| set(&mut given, name, &parsed(value)));
                for (name, value) in &defaults {
                    if given.get(name).is_none() {
                        set(&mut given, name, &parsed(value));
                    }
                }
                let edited = join(&splice(&body, &mut edits));
                let message = scan(&edited, ScanLimits::default()).unwrap();
                prop_assert_eq!(Node::parse(message.p.arguments.unwrap().of(&edited)), Some(given));
                // nothing else has changed
                let others = |node: &Node| {
                    let params = node.get("params").unwrap().members().iter();
                    params.filter(|(key, _)| key != "arguments").cloned().collect::<Vec<_>>()
                };
                prop_assert_eq!(others(&Node::parse(&edited).unwrap()), others(&node));
            }
        }
    }
}
