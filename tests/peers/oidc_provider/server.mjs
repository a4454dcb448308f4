// A real OpenID provider on a free loopback port: one client, everybody may sign in by name.
// argv: <client id> <client secret> <redirect uri> <back-channel logout uri>. Prints its issuer when it listens.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [clientId, clientSecret, redirectUri, backChannel] = process.argv.slice(2);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uris: [redirectUri],
      post_logout_redirect_uris: [new URL('/', redirectUri).href],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      backchannel_logout_uri: backChannel,
      backchannel_logout_session_required: true,
    }],
    pkce: { required: () => true },
    features: { backchannelLogout: { enabled: true }, revocation: { enabled: true }, devInteractions: { enabled: true } },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'], groups: ['groups'] },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    conformIdTokenClaims: false,
    ttl: { AccessToken: 60, IdToken: 300 },
    // The provider's own fetch refuses loopback addresses, which is where the test listens.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} Kim`, preferred_username: id, email: `${id}@bank.example`, groups: ['ops'] }),
    }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
