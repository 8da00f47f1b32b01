// A scripted authorization server: metadata, keys, dynamic registration, authorization with PKCE, tokens and their refresh.
// It grants the scopes that are asked for and nothing else, and tokens that live as long as it is told.

import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';

/**
 * For so long a refresh token is good after it was used, in ms: clients refresh for a request and for a stream that ended
 * at the same time, and authorization servers that rotate these tokens let them.
 */
const OVERLAP = 5_000;

const encoded = value => Buffer.from(value).toString('base64url');

async function bodyOf(request) {
    let text = '';
    for await (const piece of request) text += piece;
    return text;
}

/** Starts one; `lifetime` is that of its tokens, in seconds. `seen` counts what was asked of it. */
export async function startIssuer({ lifetime }) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = { ...publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'ES256' };
    const [clients, codes, refreshes] = [new Map(), new Map(), new Map()];
    const seen = { register: 0, authorize: 0, code: 0, refresh: 0, resources: new Set(), scopes: new Set(), faults: [] };
    let url;

    const token = ({ client, resource, scope }) => {
        const now = Math.floor(Date.now() / 1000);
        const claims = { iss: url, sub: 'alice', client_id: client, aud: resource, scope, iat: now, exp: now + lifetime, jti: randomUUID() };
        const signed = `${encoded(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: key.kid }))}.${encoded(JSON.stringify(claims))}`;
        const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
        const refresh = randomUUID();
        refreshes.set(refresh, { client, resource, scope, until: Infinity });
        return {
            access_token: `${signed}.${signature.toString('base64url')}`,
            token_type: 'Bearer',
            expires_in: lifetime,
            refresh_token: refresh,
            scope
        };
    };

    const doors = {
        '/.well-known/oauth-authorization-server': () => ({
            issuer: url,
            jwks_uri: `${url}/jwks`,
            authorization_endpoint: `${url}/authorize`,
            token_endpoint: `${url}/token`,
            registration_endpoint: `${url}/register`,
            response_types_supported: ['code'],
            grant_types_supported: ['authorization_code', 'refresh_token'],
            code_challenge_methods_supported: ['S256'],
            token_endpoint_auth_methods_supported: ['none'],
            authorization_response_iss_parameter_supported: true
        }),
        '/jwks': () => ({ keys: [key] }),
        '/register': ({ text }) => {
            seen.register++;
            const metadata = JSON.parse(text);
            const client_id = randomUUID();
            clients.set(client_id, metadata);
            return { status: 201, ...metadata, client_id, token_endpoint_auth_method: 'none' };
        },
        '/authorize': ({ query }) => {
            seen.authorize++;
            const client = query.get('client_id');
            const back = query.get('redirect_uri');
            if (!clients.get(client)?.redirect_uris.includes(back)) throw new Error('the redirect is not the registered one');
            if (query.get('code_challenge_method') !== 'S256') throw new Error('no PKCE');
            if (!query.get('resource')) throw new Error('no resource');
            const code = randomUUID();
            const [resource, scope] = [query.get('resource'), query.get('scope') ?? ''];
            seen.resources.add(resource);
            seen.scopes.add(scope);
            codes.set(code, { client, back, resource, scope, challenge: query.get('code_challenge') });
            const location = new URL(back);
            location.searchParams.set('code', code);
            location.searchParams.set('iss', url);
            if (query.get('state')) location.searchParams.set('state', query.get('state'));
            return { status: 302, location: String(location) };
        },
        '/token': ({ text }) => {
            const form = new URLSearchParams(text);
            if (form.get('grant_type') === 'refresh_token') {
                const granted = refreshes.get(form.get('refresh_token'));
                if (granted === undefined || granted.client !== form.get('client_id')) throw new Error('no such refresh token');
                if (Date.now() > granted.until) throw new Error('a refresh token of long ago');
                granted.until = Math.min(granted.until, Date.now() + OVERLAP);
                seen.refresh++;
                return token(granted);
            }
            const granted = codes.get(form.get('code'));
            codes.delete(form.get('code'));
            const verifier = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
            if (granted === undefined || granted.client !== form.get('client_id')) throw new Error('no such code');
            if (verifier !== granted.challenge || form.get('redirect_uri') !== granted.back) throw new Error('PKCE');
            if (form.get('resource') !== granted.resource) throw new Error('another resource');
            seen.code++;
            return token(granted);
        }
    };

    const server = createServer(async (request, response) => {
        const { pathname, searchParams } = new URL(request.url, url);
        let answer = { status: 404 };
        try {
            const text = await bodyOf(request);
            if (doors[pathname] !== undefined) answer = doors[pathname]({ query: searchParams, text });
        } catch (error) {
            seen.faults.push(`${pathname}: ${error.message}`);
            answer = { status: 400, error: 'invalid_grant' };
        }
        const { status = 200, location, ...body } = answer;
        response.writeHead(status, { 'content-type': 'application/json', ...(location && { location }) });
        response.end(JSON.stringify(body));
    });
    await new Promise(done => server.listen(0, '127.0.0.1', done));
    url = `http://127.0.0.1:${server.address().port}`;
    const stop = () => {
        server.closeAllConnections();
        return new Promise(done => server.close(done));
    };
    return { url, seen, stop };
}
