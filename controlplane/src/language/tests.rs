//! What is read, and what is never shown.

mod mistakes;
mod properties;

use super::*;

fn variables() -> Variables {
    Variables::of([("TOKEN", "s3cret-token"), ("WORD", "fast"), ("PORT", "9000"), ("YES", "true"), ("EMPTY", "")])
}

fn config(text: &str) -> Config {
    load("mcp.yaml", text.to_owned(), &variables()).unwrap_or_else(|rejected| panic!("{rejected}")).config
}

/// Every fault as `line:column path: message = advice`, and how all are shown.
fn faults(text: &str) -> (Vec<String>, String) {
    let Err(rejected) = load("mcp.yaml", text.to_owned(), &variables()) else { return Default::default() };
    let line = |fault: &Fault| {
        let (line, column) = rejected.source.position(fault);
        let advice = fault.advice.as_deref().map(|advice| format!(" = {advice}")).unwrap_or_default();
        format!("{line}:{column} {}: {}{advice}", rejected.source.as_written(&fault.path), fault.message)
    };
    (rejected.faults.iter().map(line).collect(), rejected.to_string())
}

#[test]
fn credentials_are_never_shown() {
    for text in [
        "servers: {a: {auth: {type: bearer, token: s3cret, tokn: s3cret}, args: [s3cret], tiemout: 1}}\n",
        "servers: {a: {env: {K: s3cret}, headers: {K: s3cret}, url: \"http://a/?k=s3cret\", tiemout: 1}}\n",
        "clients: {a: {api_key: s3cret, x: 1}}\n",
        "servers: {a: {tools: {edit: {t: {forced: {k: [s3cret]}, defaults: {x: s3cret}, x: 1}}}}}\n",
        "servers:\n  a:\n    tools:\n      edit:\n        t:\n          forced:\n            k: s3cret: b\n",
        "servers: {a: {auth: {type: bearer, token: \"${TOKEN}\"}, tiemout: \"${TOKEN}\", timeout: \"${TOKEN}\"}}\n",
        "servers: {a: {auth: {type: bearer, token: s3cret-${NONE}}}}\n",
        "a:\n  token: \"s3cret\n b\n",
        "{\"token\": \"s3cret\" \"b\": 1}",
        "API_KEY: s3cret: b\n",
        "servers:\n  a:\n    env:\n      FOO: s3cret: b\n",
        // credentials in the shape of something else
        "servers: {a: {url: \"http://a\", auth: s3cret}}\n",
        "servers: {a: {url: \"http://a\", auth: [s3cret]}}\n",
        "servers: {a: {command: x, env: [T=s3cret]}}\n",
        "servers: {a: {command: x, env: s3cret}}\n",
        "servers: {a: {command: x, env: {K: {sekret: s3cret}}}}\n",
        "servers: {a: {url: \"http://a\", headers: s3cret}}\n",
        "servers: {a: {url: \"http://a\", auth: {type: bearer, token: {sekret: s3cret}}}}\n",
        "servers: {a: {url: \"http://a\", auth: {type: bearer, token: [s3cret]}}}\n",
        "servers: {a: {endpoints: [\"http://a/?k=s3cret\"], tiemout: 1}}\n",
        "servers: {a: {url: \"http://a/?k=s3cret\", tiemout: 1}, url: \"http://bob:s3cret@b\"}\n",
        "credentials: {c: s3cret}\n",
        "credentials: {c: {type: bearer, token: {sekret: s3cret}}}\n",
        "credentials: {c: {type: oauth_client_credentials, token_url: \"https://a/?k=s3cret\", x: 1}}\n",
        "clients: {a: {api_key: {sekret: s3cret}}}\n",
        "clients: {a: {api_key: [s3cret]}}\n",
        "clients: {a: s3cret}\n",
    ] {
        let (found, shown) = faults(text);
        assert!(!found.is_empty(), "{text}");
        assert!(!shown.contains("s3cret") && !found.concat().contains("s3cret"), "{text}\n{shown}");
    }
    assert!(faults("clients: {a: {api_key: \"${TOKEN}\", x: 1}}\n").1.contains("\"${TOKEN}\""), "a name is no secret");
    let config = config("servers: {a: {url: \"http://a\", auth: {type: bearer, token: \"${TOKEN}\"}}}\n");
    assert_eq!(
        config.servers["a"].auth.as_ref().unwrap().token.as_ref().unwrap().value().unwrap().expose(),
        "s3cret-token"
    );
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn scalars_are_typed_after_variables_are_expanded() {
    let config = config(
        "proxy: {port: \"${PORT}\", host: ${HOST:-127.0.0.1}}\n\
         servers: {a: {command: x, args: [8080, true, 007, 1e3, \"${PORT}\"], timeout: \"${T:-0.5}\", env: {N: 1}}}\n\
         features: {authentication: \"${YES}\"}\n"
            .replace("${HOST:-127.0.0.1}", "\"${HOST:-127.0.0.1}\"")
            .as_str(),
    );
    assert_eq!(config.proxy.port, Some(9000));
    assert_eq!(config.servers["a"].args, ["8080", "true", "007", "1e3", "9000"]);
    assert_eq!(config.servers["a"].timeout, Some(Seconds(std::time::Duration::from_millis(500))));
    assert_eq!(config.servers["a"].env["N"].value().unwrap().expose(), "1");
    assert_eq!(config.features.authentication, Some(true));
}

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = config("proxy: {log_level: INFO}\nservers:\n  b: {url: http://b}\n  a: {command: x, args: [y]}\n");
    let json = config(
        "{\"proxy\":{\"log_level\":\"INFO\"},\"servers\":{\"b\":{\"url\":\"http:\\/\\/b\"},\n\t\"a\":{\"command\":\"x\",\
         \"args\":[\"y\"]}}}",
    );
    assert_eq!(format!("{yaml:?}"), format!("{json:?}"));
    assert_eq!(json.servers.keys().collect::<Vec<_>>(), ["b", "a"], "in configured order");
}

#[test]
fn a_section_that_is_commented_out_is_empty() {
    let config = config("proxy:\n#  port: 1\nservers:\n  a:\n    url: http://a\n    headers:\nclients:\n");
    assert!(config.proxy.port.is_none() && config.clients.is_empty() && config.servers["a"].headers.is_empty());
}

#[test]
fn the_schema_knows_every_key_and_lets_variables_stand_for_numbers() {
    let schema = schema();
    let server = &schema["$defs"]["Server"]["properties"];
    for key in
        "url socket command args env env_file cwd headers auth timeout protocol isolation transport enabled disabled \
         tools prompts resources"
            .split(' ')
    {
        assert!(server.get(key).is_some(), "{key}");
    }
    assert!(server["tools"].to_string().contains("array"), "a list of patterns will do: {}", server["tools"]);
    assert!(schema["$defs"]["ToolEdit"]["properties"].get("forced").is_some(), "{schema:#}");
    assert_eq!(schema["additionalProperties"], false);
    assert!(server["timeout"]["anyOf"].to_string().contains("pattern"), "{}", server["timeout"]);
    assert!(!schema.to_string().contains("\"default\":null"));
}
