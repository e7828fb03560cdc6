package gateway_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/revocation"
)

func TestAccessToken_OnlyValidOnesAreAccepted(t *testing.T) {
	shop := open(t)
	shop.fake("queries.orders.order", func(m *nats.Msg) any {
		return map[string]any{"actor": header(m).Actor.ID, "roles": header(m).Actor.Roles}
	})
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ana := claimsOf("usr_ana", events.Customer)
	with := func(name string, value any) jwt.MapClaims {
		c := claimsOf("usr_ana", events.Customer)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	good := shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, ana)
	parts := strings.Split(good, ".")
	public := shop.key.Public().(ed25519.PublicKey)
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

	for name, authorization := range map[string]string{
		"no scheme":               good,
		"another scheme":          "Basic dXNyOnB3",
		"nothing after it":        "Bearer ",
		"garbage":                 "Bearer a.b.c",
		"one part":                "Bearer abc",
		"cut off":                 "Bearer " + good[:len(good)-3],
		"another payload":         "Bearer " + parts[0] + "." + strings.Split(shop.sign(jwt.SigningMethodEdDSA, stranger, keyID, claimsOf("usr_eve", events.Admin)), ".")[1] + "." + parts[2],
		"no signature":            "Bearer " + parts[0] + "." + parts[1] + ".",
		"alg none":                "Bearer " + shop.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, keyID, ana),
		"HS256 on the public key": "Bearer " + shop.sign(jwt.SigningMethodHS256, []byte(public), keyID, ana),
		"another's key":           "Bearer " + shop.sign(jwt.SigningMethodEdDSA, stranger, keyID, ana),
		"an unknown key":          "Bearer " + shop.sign(jwt.SigningMethodEdDSA, stranger, "key-2", ana),
		"no key named":            "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, "", ana),
		"expired":                 "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("exp", ago(2*time.Minute))),
		"never expiring":          "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("exp", nil)),
		"not yet good":            "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("nbf", ago(-time.Hour))),
		"another issuer":          "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("iss", "mallory")),
		"for another":             "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("aud", "mallory")),
		"for nobody":              "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("aud", nil)),
		"no subject":              "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("sub", nil)),
		"a service as subject":    "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("sub", "service:orders")),
		"roles of no kind":        "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("roles", []string{"king"})),
		"roles with a comma":      "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("roles", []string{"customer,admin"})),
		"roles a number":          "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("roles", 7)),
		"far too long":            "Bearer " + good + strings.Repeat("A", 8192),
	} {
		t.Run(name, func(t *testing.T) {
			r := shop.do("GET", "/api/orders/ord_1", nil, "Authorization", authorization)
			r.t = t
			r.expectProblem(401, errs.Unauthenticated, "")
			if r.Header.Get("WWW-Authenticate") != `Bearer realm="lonja"` {
				t.Errorf("WWW-Authenticate: %q", r.Header.Get("WWW-Authenticate"))
			}
		})
	}
	shop.do("GET", "/api/orders/ord_1", nil).expectProblem(401, errs.Unauthenticated, "")
	shop.do("GET", "/api/orders/ord_1", nil, "Authorization", "Bearer "+good, "Authorization", "Bearer "+good).expectProblem(401, errs.Unauthenticated, "")

	var seen struct {
		Actor string
		Roles []string
	}
	for range 2 { // the second time it is remembered
		shop.do("GET", "/api/orders/ord_1", nil, "Authorization", "bearer "+good).expect(200, &seen)
		if seen.Actor != "usr_ana" || len(seen.Roles) != 1 || seen.Roles[0] != events.Customer {
			t.Fatalf("orders saw %+v", seen)
		}
	}
	late := shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, with("exp", ago(30*time.Second)))
	shop.do("GET", "/api/orders/ord_1", nil, "Authorization", "Bearer "+late).expect(200, nil) // clocks differ
}

// What gateways follow holds for tokens that they took before, and for those of
// versions that said neither for whom nor where they were signed.
func TestAccessToken_RevokedIsRejected(t *testing.T) {
	shop := open(t)
	var seen uint64
	shop.fake("queries.orders.order", func(m *nats.Msg) any { seen = header(m).Actor.TokenPosition; return struct{}{} })
	shop.fake("queries.orders.statuses", func(*nats.Msg) any { return []query.StatusChange{} })
	read := func(authorization string) *response {
		return shop.do("GET", "/api/orders/ord_1", nil, "Authorization", authorization)
	}
	with := func(pos uint64) string {
		claims := claimsOf("usr_ana", events.Customer)
		claims["pos"] = pos
		return "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, claims)
	}
	claims := claimsOf("usr_ana", events.Customer)
	delete(claims, "aud")
	delete(claims, "pos")
	former := "Bearer " + shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, claims)
	read(with(7)).expect(200, nil)
	if seen != 7 {
		t.Errorf("orders heard that it was signed at %d", seen)
	}
	read(former).expect(200, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	lines := follow(ctx, t, shop.server.URL+"/api/orders/ord_1/stream", with(7))
	until(t, lines, ": waiting")

	if err := revocation.Revoke(t.Context(), shop.JS, "usr_ana", 8); err != nil {
		t.Fatal(err)
	}
	for read(with(7)).StatusCode == 200 && ctx.Err() == nil {
	}
	read(with(7)).expectProblem(401, errs.Unauthenticated, "")
	read(former).expectProblem(401, errs.Unauthenticated, "")
	read(with(8)).expect(200, nil)
	read(shop.as("usr_bob", events.Customer)).expect(200, nil)
	for lines.Scan() { // a stream that was open ends, too
	}
	if lines.Err() != nil {
		t.Errorf("the stream of a revoked token goes on: %v", lines.Err())
	}
}

func TestKeys_OutliveIdentityAndNewOnesAreFound(t *testing.T) {
	shop := openWith(t, gateway.Config{})
	shop.fake("queries.orders.order", func(*nats.Msg) any { return struct{}{} })
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	read := func(token string) *response {
		return shop.do("GET", "/api/orders/ord_1", nil, "Authorization", "Bearer "+token)
	}
	old := shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, claimsOf("usr_ana", events.Customer))
	read(old).expect(200, nil)

	// Identity goes away: whoever is signed in goes on, with this token and
	// with others, and the keys can still be read.
	shop.stopFake("queries.identity.keys")
	read(old).expect(200, nil)
	read(shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, claimsOf("usr_bob", events.Customer))).expect(200, nil)
	var held query.Keyset
	shop.do("GET", "/.well-known/jwks.json", nil).expect(200, &held)
	if len(held.Keys) != 1 || held.Keys[0].KeyID != keyID {
		t.Fatalf("keys %+v", held)
	}

	// It comes back with a new key: found, though not asked for at every try.
	var asked atomic.Int64
	shop.fake("queries.identity.keys", func(*nats.Msg) any { asked.Add(1); return keyset("key-2", public) })
	newer := shop.sign(jwt.SigningMethodEdDSA, private, "key-2", claimsOf("usr_ana", events.Customer))
	began, tries := time.Now(), 0
	for ; time.Since(began) < 10*time.Second; tries++ {
		if r := read(newer); r.StatusCode == 200 {
			break
		}
	}
	read(newer).expect(200, nil)
	if n := asked.Load(); n > 12 {
		t.Errorf("%d tries with an unknown key made %d questions", tries, n)
	}
	// The old key is gone, and what was remembered of it, too.
	read(old).expectProblem(401, errs.Unauthenticated, "")
}

func TestKeys_WithoutAnyTokensAreUnavailable(t *testing.T) {
	shop := open(t)
	shop.stopFake("queries.identity.keys")
	r := shop.do("GET", "/api/orders", nil, "Authorization", shop.ana())
	r.expectProblem(503, errs.Unavailable, "")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	shop.do("GET", "/.well-known/jwks.json", nil).expectProblem(503, errs.Unavailable, "")
}

func TestVerify_ReturnsTheTokensUser(t *testing.T) {
	shop := open(t)
	shop.fake("queries.identity.user", func(m *nats.Msg) any {
		if header(m).Actor.ID != "usr_ana" {
			return errs.New(errs.NotFound, "no such user")
		}
		return query.UserView{ID: "usr_ana", Name: "Ana", Roles: []string{events.Customer}}
	})
	var got struct{ User query.UserView }
	shop.do("GET", "/api/auth/verify", nil, "Authorization", shop.ana()).expect(200, &got)
	if got.User.ID != "usr_ana" || got.User.Name != "Ana" {
		t.Fatalf("%+v", got)
	}
	shop.do("GET", "/api/auth/verify", nil, "Authorization", shop.as("usr_gone", events.Customer)).expectProblem(401, errs.Unauthenticated, "")
	shop.do("GET", "/api/auth/verify", nil).expectProblem(401, errs.Unauthenticated, "")
}

// Nothing of a request's headers goes on but what was checked.
func TestGateway_PassesOnCheckedHeadersOnly(t *testing.T) {
	shop := open(t)
	var got eventlog.Envelope
	var all nats.Header
	shop.fake("queries.orders.order", func(m *nats.Msg) any { got, all = header(m), m.Header; return struct{}{} })
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ask := func(headers ...string) {
		t.Helper()
		shop.do("GET", "/api/orders/ord_1", nil, append(headers, "Authorization", shop.ana())...).expect(200, nil)
	}

	ask("traceparent", trace, "Consistency-Token", "ORDERS:7.bad stream:3.PAYMENTS:2.X", "Consistency-Token", "ORDERS:9.CATALOG:-1",
		"Nats-Rollup", "all", "ce-actor", "usr_eve", "ce-actorroles", "admin", "ce-id", "mine", "lonja-after", "ORDERS:99")
	if got.Trace != trace || got.Correlation != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("trace %q, correlation %q", got.Trace, got.Correlation)
	}
	if got.After != "ORDERS:9.PAYMENTS:2" {
		t.Errorf("after %q", got.After)
	}
	if got.Actor.ID != "usr_ana" || got.Actor.HasRole(events.Admin) || got.ID != "" || all.Get("Nats-Rollup") != "" {
		t.Errorf("a client's header went on: %v", all)
	}

	for _, bad := range []string{"", "x", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", trace + "-x"} {
		ask("traceparent", bad)
		if got.Trace == bad || len(got.Trace) != 55 || got.Correlation != got.Trace[3:35] {
			t.Errorf("%q became %q, correlation %q", bad, got.Trace, got.Correlation)
		}
	}
	ask("traceparent", trace, "traceparent", trace)
	if got.Trace == trace {
		t.Error("a traceparent that was sent twice was taken")
	}
	ask("Consistency-Token", strings.Repeat("A", 1025))
	if got.After != "" {
		t.Errorf("after %q", got.After)
	}
}
