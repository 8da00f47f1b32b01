//! Header values and `x-mcp-header` annotations. The input is `value`, NUL, `body`, NUL, `schema`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_mcp::{
    Mirror, ScanLimits,
    header::{check, check_params, decode_value, encode_value, param_headers, param_value},
    scan,
};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |&byte| byte == 0);
    let [value, body, schema] = [(); 3].map(|()| parts.next().unwrap_or_default());
    if let Ok(text) = decode_value(value) {
        let encoded = encode_value(&text);
        assert!(encoded.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')));
        assert_eq!(decode_value(encoded.as_bytes()).expect("just encoded"), text);
    }
    let Ok(message) = scan(body, ScanLimits::default()) else { return };
    let mirror = Mirror { version: Some(value), method: Some(value), name: Some(value) };
    if let Err(error) = check(&mirror, body, &message) {
        assert!(!error.to_string().contains(char::is_control));
    }
    if let Ok(headers) = param_headers(schema) {
        let arguments = message.p.arguments.map(|span| span.of(body));
        let values: Vec<_> =
            headers.iter().map(|header| Some(encode_value(&param_value(arguments?, header)?).into_owned())).collect();
        let get = |name: &str| {
            let at = headers.iter().position(|header| header.header == name)?;
            values[at].as_deref().map(str::as_bytes)
        };
        // What is mirrored agrees, unless a key occurs twice or an integer is out of range.
        if let Err(error) = check_params(&headers, get, arguments) {
            assert!(matches!(error, sluice_mcp::HeaderError::Malformed { .. }), "{error}");
        }
    }
});
