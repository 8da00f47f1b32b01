//! A document and its objects say the same, whatever form it was written in; secrets are apart from what is shown.

use super::*;
use crate::language::{Variables, load};

fn parts(text: &str) -> Split {
    let variables = Variables::of([("TOKEN", "s3cret-value"), ("PORT", "9000"), ("ODD", "${NOT: again")]);
    let loaded = load("mcp.yaml", text.to_owned(), &variables).unwrap();
    split(&loaded.source, &loaded.config).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn canonical(split: &Split) -> Vec<String> {
    let line = |part: &Part| format!("{} {} {}", part.object.kind, part.object.name, part.object.spec.canonical());
    split.parts.iter().map(line).collect()
}

#[test]
fn a_document_is_cut_into_its_named_parts_in_one_way_of_writing() {
    let text = "\
proxy: {port: \"${PORT}\", name: ~}
servers:
  b: {url: 'http://b/mcp', timeout: 1.50, tools: [a*], headers: {X: '${ODD}'}}
  My Server: {command: x, args: [007, True, 'on'], env: {CODE: 007, T: \"${TOKEN}\"}}
  c: {endpoints: [wss://c/ws], transport: ws, tools: {edit: {t: {defaults: {n: 007, b: True, z: ~, t: '5'}}}}}
features:
  monitoring: {enable_metrics: true}
";
    let split = parts(text);
    assert_eq!(
        canonical(&split),
        [
            r#"proxy proxy {"port":"9000"}"#,
            r#"server b {"headers":{"X":"${NOT: again"},"timeout":1.50,"tools":{"allow":["a*"]},"url":"http://b/mcp"}"#,
            r#"server My-Server {"args":["007","True","on"],"command":"x","env":{"CODE":"007","T":"s3cret-value"}}"#,
            r#"server c {"tools":{"edit":{"t":{"defaults":{"b":true,"n":7,"t":"5","z":null}}}},"transport":"websocket","url":"wss://c/ws"}"#,
            r#"features features {"monitoring":{"enable_metrics":true}}"#,
        ]
    );
    assert_eq!(split.warnings.len(), 1);
    let config = join(split.parts.iter().map(|part| &part.object)).unwrap();
    assert_eq!(config.servers.keys().collect::<Vec<_>>(), ["b", "My-Server", "c"]);
    assert_eq!(config.proxy.port, Some(9000));
    assert_eq!(
        config.servers["b"].headers["X"].value().unwrap().expose(),
        "${NOT: again",
        "variables are expanded once"
    );
    assert_eq!(config.servers["My-Server"].env["CODE"].value().unwrap().expose(), "007");
    // What was stored is what was written.
    for part in &split.parts {
        let text = part.object.spec.canonical();
        let (kind, name) = (part.object.kind.as_str(), &part.object.name);
        assert_eq!(Object::parse(kind, name, &text).unwrap().spec.canonical(), text);
        assert_eq!(Spec::stored(&text).unwrap().canonical(), text);
    }
}

/// What came from a file of credentials, and what variables put into arguments.
#[test]
fn a_credential_is_a_secret_wherever_it_stands() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    std::fs::write(&file, r#"{"KEPT": "canary-kept"}"#).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let environment = |name: &str| (name == "PLAIN").then(|| "plain".to_owned());
    let text = "\
servers:
  a: {command: x, args: [go, '${KEPT}', '${PLAIN}', '-${NONE:-canary}'], cwd: '/${KEPT}', nodes: {zone: '${PLAIN}'}}
  b: {url: 'https://${KEPT}.example.com/mcp', tools: {edit: {t: {defaults: {k: ['${PLAIN}']}, title: '${PLAIN}'}}}}
";
    let loaded = load("mcp.yaml", text.to_owned(), &Variables::new(environment, [file])).unwrap();
    let split = split(&loaded.source, &loaded.config).unwrap_or_else(|faults| panic!("{faults:?}"));
    let hidden: Vec<_> = split.parts.iter().map(|part| part.object.spec.hidden().join(" ")).collect();
    assert_eq!(hidden, ["args[1] args[2] args[3] cwd", "tools.edit.t.defaults.k[0] url"]);
    for (part, shown) in split.parts.iter().zip([
        r#"{"args":["go","***","***","***"],"command":"x","cwd":"***","nodes":{"zone":"plain"}}"#,
        r#"{"tools":{"edit":{"t":{"defaults":{"k":["***"]},"title":"plain"}}},"url":"***"}"#,
    ]) {
        // as it is sent, and what it becomes there
        let Object { kind, name, spec } = &part.object;
        let mut sent = Object::parse(kind.as_str(), name, &spec.canonical()).unwrap();
        assert!(sent.spec.hide(&spec.hidden()).is_empty());
        let mut masked = sent.spec.clone();
        let secrets = masked.conceal(*kind);
        assert_eq!(masked.canonical(), shown);
        let mut opened = Spec::stored(shown).unwrap();
        opened.reveal(&secrets);
        assert!(opened.equals(spec) && opened.hidden() == spec.hidden());
        // somebody who was shown masks writes them back; somebody else writes what is the same
        for text in [shown.to_owned(), spec.canonical()] {
            let mut again = Object::parse(kind.as_str(), name, &text).unwrap().spec;
            assert!(again.keep(*kind, &secrets).is_empty());
            assert!(again.equals(spec) && again.hidden() == spec.hidden(), "{text}");
        }
        let mut nobody_s = Object::parse(kind.as_str(), name, shown).unwrap().spec;
        assert!(!nobody_s.keep(*kind, &Secrets::default()).is_empty(), "a mask is no text");
    }
    assert_eq!(split.parts[0].object.spec.clone().hide(&["args[9]".to_owned()]), ["args[9]"]);
}

#[test]
fn files_of_clients_become_objects_and_faults_find_their_way_back() {
    let text = r#"{"mcpServers": {
  "my files": {"command": "npx", "args": ["-y"], "disabled": true, "env": {"A": "${NONE}", "B": "1"}},
  "my-files": {"url": "https://h/mcp", "type": "http"}
}}"#;
    let variables = Variables::nowhere();
    let loaded = load("claude.json", text.to_owned(), &variables).unwrap();
    let split = split(&loaded.source, &loaded.config).unwrap_or_else(|faults| panic!("{faults:?}"));
    let names: Vec<_> = split.parts.iter().map(|part| part.object.name.as_str()).collect();
    assert_eq!(names, ["my-files", "my-files-2"]);
    assert_eq!(split.parts[0].object.spec.member(&["env"]).as_deref(), Some(r#"{"B":"1"}"#));
    let fault = split.locate(Fault::value(Path::of(["servers", "my-files-2", "url"]), "is wrong"));
    assert_eq!(loaded.source.position(&fault), (3, 23));
    assert_eq!(loaded.source.as_written(&fault.path).to_string(), "mcpServers.my-files.url");
}

#[test]
fn secrets_are_taken_out_put_back_and_kept_where_masks_come_back() {
    let json = r#"{"command":"x","args":["--port","1","--api-key","k3y","--token=t0k","https://u:p4ss@h/"],
        "env":{"A":"1"},"url":"https://h/mcp?key=qu3ry","headers":{"X":"h3ad"},"auth":{"type":"bearer","token":"b3ar"},
        "tools":{"edit":{"t":{"forced":{"a":{"b":[1,"f0rced"]}},"defaults":{"c":"shown"}}}}}"#;
    let full = Object::parse("server", "s", json).unwrap();
    let mut masked = full.spec.clone();
    let secrets = masked.conceal(Kind::Server);
    let shown = masked.canonical();
    for hidden in ["k3y", "t0k", "p4ss", "qu3ry", "h3ad", "b3ar", "f0rced"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
    assert!(shown.contains("--port") && shown.contains("\"shown\"") && shown.contains("bearer"), "{shown}");
    let secrets = Secrets::decode(&secrets.encode()).unwrap();
    let mut again = Spec::stored(&shown).unwrap();
    again.reveal(&secrets);
    assert_eq!(again.canonical(), full.spec.canonical());
    // Somebody edits what they were shown.
    let edited = shown.replace("\"1\"]", "\"2\"]").replace("\"X\":\"***\"", "\"X\":\"***\",\"Y\":\"***\"");
    let mut edited = Object::parse("server", "s", &edited).unwrap().spec;
    let without = edited.keep(Kind::Server, &secrets);
    assert_eq!(without.iter().map(ToString::to_string).collect::<Vec<_>>(), ["headers.Y"]);
    assert!(edited.canonical().contains("b3ar") && edited.canonical().contains("qu3ry"));
    for (kind, json, place) in [
        ("server", r#"{"command":"***"}"#, "command"),
        ("server", r#"{"url":"https://h/mcp","nodes":{"zone":"***"}}"#, "nodes.zone"),
        ("proxy", r#"{"name":"***"}"#, "name"),
    ] {
        let mut object = Object::parse(kind, if kind == "proxy" { kind } else { "s" }, json).unwrap();
        let without = object.spec.keep(object.kind, &Secrets::default());
        assert_eq!(without.iter().map(ToString::to_string).collect::<Vec<_>>(), [place], "{json}");
    }
}

#[test]
fn what_is_no_object_is_told_and_never_a_panic() {
    for (kind, name, json, told) in [
        ("sever", "a", "{}", "is no kind of object"),
        ("server", "a b", "{}", "is no name for a server"),
        ("server", "", "{}", "is no name for a server"),
        ("client", "a/b", "{}", "is no name for a client"),
        ("proxy", "other", "{}", "there is one proxy"),
        ("server", "a", "[]", "is not a JSON object"),
        ("server", "a", "", "is not JSON"),
        ("server", "a", "{\"url\": \"\\ud800\"}", "is not JSON"),
        ("server", "a", "{\"url\": 1, \"url\": 2}", "has the key `url` twice"),
        ("server", "a", &format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70)), "nested deeper"),
        ("server", "a", &format!("{{\"a\":{}", "[".repeat(100_000)), "is not JSON"),
    ] {
        let Err(fault) = Object::parse(kind, name, json) else { panic!("{kind} {name} was accepted") };
        assert!(fault.message.contains(told), "{kind} {name}: {}", fault.message);
    }
    let wrong = Object::parse("server", "a", r#"{"url": "http://h/", "tiemout": 3, "env_file": "x"}"#).unwrap();
    let faults = join([&wrong]).unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
    assert!(told[0].starts_with("servers.a.env_file: names a file"), "{told:?}");
    assert_eq!(told[1], "servers.a.tiemout: unknown key");
}

#[test]
fn every_section_of_the_language_has_a_kind() {
    let schema = crate::language::schema();
    for section in schema["properties"].as_object().unwrap().keys() {
        assert!(Kind::ALL.iter().any(|kind| kind.map() == section), "`{section}` would be lost by `sluice apply`");
    }
}

#[test]
fn where_a_secret_is_may_be_seen() {
    let split = parts(
        "
credentials:
  crm: {type: oauth_client_credentials, token_url: https://l/t, client_id: g, client_secret: {secret: crm}}
  key: {type: bearer, token: '${TOKEN}'}
servers:
  a: {url: https://a, headers: {X: {env: VARIABLE}, Y: s3cret-header}, auth: {credential: crm}}
",
    );
    let shown: Vec<String> = split
        .parts
        .into_iter()
        .map(|mut part| {
            let secrets = part.object.spec.conceal(part.object.kind);
            let places: Vec<&str> = secrets.iter().map(|(place, _)| place).collect();
            format!("{} {places:?} {}", part.object.name, part.object.spec.canonical())
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"crm [] {"client_id":"g","client_secret":{"secret":"crm"},"token_url":"https://l/t","type":"oauth_client_credentials"}"#,
            r#"key ["token"] {"token":"***","type":"bearer"}"#,
            r#"a ["headers.Y"] {"auth":{"credential":"crm"},"headers":{"X":{"env":"VARIABLE"},"Y":"***"},"url":"https://a"}"#,
        ]
    );
}
