//! Credentials for servers: what they become, which secrets a node gets, and what is refused.

use std::collections::BTreeMap;

use super::{Node, compiled, compiled_for, faults, headers};

fn shown(server: &str) -> Vec<(String, String)> {
    headers(&compiled(&format!("servers: {{a: {server}}}\n")), "a")
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_value_is_written_or_said_to_be_elsewhere() {
    let url = "url: 'https://h/mcp'";
    for (said, expected) in [
        ("${API_TOKEN}", "Bearer a-token"),
        ("{secret: github}", "Bearer secret `github`"),
        ("{env: GITHUB_TOKEN}", "Bearer environment variable `GITHUB_TOKEN`"),
        ("{file: /run/secrets/t}", "Bearer file /run/secrets/t"),
    ] {
        let said = if said.starts_with('$') { format!("'{said}'") } else { said.to_owned() };
        let server = format!("{{{url}, auth: {{type: bearer, token: {said}}}}}");
        assert_eq!(shown(&server), [pair("authorization", expected)], "{said}");
    }
    let server = format!(
        "{{{url}, headers: {{X-A: {{secret: crm}}, X-B: plain}}, auth: {{type: basic, credentials: {{env: PAIR}}}}}}"
    );
    let expected =
        [pair("x-a", "secret `crm`"), pair("x-b", "plain"), pair("authorization", "Basic environment variable `PAIR`")];
    assert_eq!(shown(&server), expected);
    let node = Node { folder: "/etc/sluice".into(), ..Node::default() };
    let text = "servers: {a: {command: x, env: {A: {file: token}, B: {secret: github}, C: c}}}\n";
    let snapshot = compiled_for(text, &[], &node).0;
    let sources: Vec<_> = snapshot.servers[0].sensitive().iter().map(|(_, value)| value.source()).collect();
    assert_eq!(sources, ["file /etc/sluice/token", "secret `github`", "configuration"]);
}

#[test]
fn a_named_credential_is_what_it_says_wherever_it_is_named() {
    let snapshot = compiled(
        "
credentials:
  github: {type: bearer, token: {secret: github}}
  crm:
    type: oauth_client_credentials
    token_url: https://login.example/token
    client_id: gateway
    client_secret: {secret: crm}
    scopes: [read, write]
servers:
  a: {url: 'https://a/mcp?x=1', auth: {credential: github}}
  b: {url: 'https://b/mcp?x=1', auth: {credential: crm}}
  c: {url: 'wss://c/ws', auth: {credential: crm}}
",
    );
    assert_eq!(headers(&snapshot, "a"), [pair("authorization", "Bearer secret `github`")]);
    let credential = |name: &str| {
        let endpoint = snapshot.server(name).unwrap().transport.endpoint();
        format!("{:?}", endpoint.unwrap().credential.as_ref().unwrap())
    };
    assert_eq!(
        credential("b"),
        "Credential { name: Some(\"crm\"), kind: ClientCredentials(ClientCredentials { endpoint: \
         Url(\"https://login.example/token\"), client_id: \"gateway\", authentication: SecretBasic(Secret(\"crm\")), \
         scope: Some(\"read write\"), resource: Some(\"https://b/mcp\") }) }"
    );
    assert!(credential("c").contains("resource: Some(\"https://c/ws\")"), "{}", credential("c"));
}

#[test]
fn a_grant_says_how_the_client_proves_itself_and_for_whom() {
    let grant = |more: &str| {
        let server = format!(
            "{{socket: /s, auth: {{type: oauth_client_credentials, issuer: 'https://login.example', client_id: g, {more}}}}}"
        );
        shown(&server)[0].1.clone()
    };
    for (more, expected) in [
        ("client_secret: s", "authentication: SecretBasic(Value(***)), scope: None, resource: None"),
        ("client_secret: s, client_authentication: post", "authentication: SecretPost(Value(***))"),
        ("private_key: {file: /k.pem}, key_id: k1", "PrivateKeyJwt { key: File(\"/k.pem\"), id: Some(\"k1\") }"),
        ("client_secret: s, resource: 'urn:x'", "resource: Some(\"urn:x\")"),
        ("client_secret: s, resource: none", "resource: None"),
    ] {
        let found = grant(more);
        assert!(found.contains(expected) && found.contains("Issuer(\"https://login.example\")"), "{more}: {found}");
    }
}

#[test]
fn a_node_gets_the_secrets_of_its_own_servers_only() {
    let text = "
credentials: {crm: {type: bearer, token: {secret: crm}}}
servers:
  everywhere: {url: 'https://a', headers: {X: {secret: github}}}
  eu: {url: 'https://b', auth: {credential: crm}, nodes: {region: eu}}
";
    let of = |region: &str| {
        let labels = BTreeMap::from([("region".to_owned(), region.to_owned())]);
        let snapshot = compiled_for(text, &[], &Node { labels, ..Node::default() }).0;
        let mut secrets: Vec<_> =
            snapshot.secrets.iter().map(|(name, secret)| (name.to_string(), secret.version)).collect();
        secrets.sort();
        secrets
    };
    assert_eq!(of("eu"), [("crm".to_owned(), 2), ("github".to_owned(), 1)]);
    assert_eq!(of("us"), [("github".to_owned(), 1)]);
}

#[test]
fn what_is_no_credential_is_told_at_its_place() {
    for (text, expected) in [
        (
            "servers: {a: {url: 'http://a', auth: {credential: crm}}}\n",
            "1:51 servers.a.auth.credential: is none of `credentials`",
        ),
        (
            "credentials: {x: {type: bearer, token: {secret: nope}}}\nservers: {a: {url: 'https://a', auth: {credential: x}}}\n",
            "1:40 credentials.x.token: there is no secret `nope`",
        ),
        ("servers: {a: {command: x, env: {A: {secret: nope}}}}\n", "1:36 servers.a.env.A: there is no secret `nope`"),
        ("credentials: {x: {token: a}}\n", "1:15 credentials.x: has no `type`"),
        ("servers: {a: {url: 'https://a', auth: {token: x}}}\n", "1:33 servers.a.auth: has no `type`"),
        (
            "credentials: {x: {type: oauth_client_credentials, client_id: g, client_secret: s}}\n",
            "1:15 credentials.x: has no `token_url` and no `issuer`, which `type: oauth_client_credentials` needs",
        ),
        (
            "credentials: {x: {type: bearer, token: a, scopes: [b]}}\n",
            "1:43 credentials.x.scopes: does not belong to `type: bearer`",
        ),
        (
            "credentials: {x: {credential: y, type: bearer, token: a}}\n",
            "1:19 credentials.x.credential: refers to another credential",
        ),
        (
            "credentials: {x: {type: bearer, token: a}}\nservers: {a: {url: 'https://a', auth: {credential: x, token: b}}}\n",
            "2:33 servers.a.auth: names a credential, and says more beside it",
        ),
        (
            "servers: {a: {url: 'https://a', auth: {type: oauth_client_credentials, token_url: 'http://h/t', client_id: g, \
             client_secret: s}}}\n",
            "1:83 servers.a.auth.token_url: is not `https://`, and a secret would go there in the clear",
        ),
        (
            "credentials: {x: {type: oauth_client_credentials, issuer: 'http://h', client_id: g, client_secret: s}}\n\
             servers: {a: {url: 'https://a', auth: {credential: x}}}\n",
            "1:59 credentials.x.issuer: is not `https://`, and a secret would go there in the clear",
        ),
        (
            "servers: {a: {url: 'https://a', headers: {X: {file: token}}}}\n",
            "1:46 servers.a.headers.X: is not an absolute path such as `/run/secrets/token`",
        ),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
}
