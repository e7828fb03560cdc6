package bearer_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lonja/kit/errs"
	"lonja/kit/httpapi/apitest"
	"lonja/kit/httpapi/bearer"
	"lonja/kit/revocation"
)

func with(claims jwt.MapClaims, name string, value any) jwt.MapClaims {
	if claims[name] = value; value == nil {
		delete(claims, name)
	}
	return claims
}

func authenticate(t *testing.T, v *bearer.Verifier, authorization string) (bearer.Holder, error) {
	t.Helper()
	return v.AccessToken(t.Context(), http.Header{"Authorization": {authorization}})
}

func TestVerifier_AcceptsOnlyValidTokens(t *testing.T) {
	f := apitest.Open(t)
	_, otherKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ana := func(name string, value any) string {
		return "Bearer " + f.Sign(jwt.SigningMethodEdDSA, f.Key, apitest.KeyID, with(apitest.Claims("ana", "member"), name, value))
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	good := f.Authorization("ana", "member")
	for name, authorization := range map[string]string{
		"no scheme":               strings.TrimPrefix(good, "Bearer "),
		"another scheme":          "Basic dXNyOnB3",
		"garbage":                 "Bearer a.b.c",
		"cut off":                 good[:len(good)-3],
		"alg none":                "Bearer " + f.Sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, apitest.KeyID, apitest.Claims("ana")),
		"HS256 on the public key": "Bearer " + f.Sign(jwt.SigningMethodHS256, []byte(f.Key.Public().(ed25519.PublicKey)), apitest.KeyID, apitest.Claims("ana")),
		"another's key":           "Bearer " + f.Sign(jwt.SigningMethodEdDSA, otherKey, apitest.KeyID, apitest.Claims("ana")),
		"an unknown key":          "Bearer " + f.Sign(jwt.SigningMethodEdDSA, otherKey, "key-2", apitest.Claims("ana")),
		"no key named":            "Bearer " + f.Sign(jwt.SigningMethodEdDSA, f.Key, "", apitest.Claims("ana")),
		"expired":                 ana("exp", ago(2*time.Minute)),
		"never expiring":          ana("exp", nil),
		"not yet valid":           ana("nbf", ago(-time.Hour)),
		"another issuer":          ana("iss", "mallory"),
		"a ticket's issuer":       ana("iss", apitest.Name+"/stream"),
		"for another resource":    ana("aud", "mallory"),
		"no audience":             ana("aud", nil),
		"roles a number":          ana("roles", 7),
		"far too long":            good + strings.Repeat("A", 8192),
	} {
		if who, err := authenticate(t, f.Tokens, authorization); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	for range 2 { // the second time it is cached
		who, err := authenticate(t, f.Tokens, good)
		if err != nil || who.Actor.ID != "ana" || !who.Actor.HasRole("member") || who.Actor.TokenPosition != 7 {
			t.Errorf("%+v, %v", who, err)
		}
	}
	if _, err := authenticate(t, f.Tokens, ana("exp", ago(30*time.Second))); err != nil { // within Leeway
		t.Error(err)
	}
	onlyBob := bearer.New(bearer.Config{FetchKeys: func(context.Context) ([]byte, error) { return f.Keys() }, Revoked: revocation.New(f.Conn), Issuer: apitest.Name, Audience: apitest.Name,
		Accepts: func(id string, _ []string) bool { return id == "bob" }})
	if _, err := authenticate(t, onlyBob, good); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a token that Accepts rejects was accepted: %v", err)
	}
	if _, err := authenticate(t, onlyBob, f.Authorization("bob")); err != nil {
		t.Error(err)
	}
}

func TestVerifier_RejectsRevokedTokens(t *testing.T) {
	f := apitest.Open(t)
	ana := f.Authorization("ana")
	if _, err := authenticate(t, f.Tokens, ana); err != nil {
		t.Fatal(err)
	}
	if err := revocation.Revoke(t.Context(), f.JS, "ana", 8); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := authenticate(t, f.Tokens, ana); errs.Is(err, errs.Unauthenticated) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a revoked token is still accepted")
		}
	}
	if _, err := authenticate(t, f.Tokens, "Bearer "+f.Sign(jwt.SigningMethodEdDSA, f.Key, apitest.KeyID, with(apitest.Claims("ana"), "pos", 8))); err != nil {
		t.Errorf("a token that was signed later: %v", err)
	}
}

func TestVerifier_KeepsKeysWhileTheIssuerIsAwayAndFindsNewOnes(t *testing.T) {
	f := apitest.Open(t)
	issuer := f.Keys
	f.Keys = func() ([]byte, error) { return nil, errors.New("the issuer is away") }
	if _, err := authenticate(t, f.Tokens, f.Authorization("ana")); !errs.Is(err, errs.Unavailable) {
		t.Errorf("without any key: %v", err)
	}
	if f.Tokens.Keys() != nil {
		t.Error("there are keys that were never fetched")
	}
	f.Keys = issuer
	if _, err := authenticate(t, f.Tokens, f.Authorization("ana")); err != nil {
		t.Fatal(err)
	}
	f.Keys = func() ([]byte, error) { return nil, errors.New("the issuer is away") }
	for _, who := range []string{"ana", "bob"} {
		if _, err := authenticate(t, f.Tokens, f.Authorization(who)); err != nil {
			t.Errorf("%s while the issuer is away: %v", who, err)
		}
	}
	if !strings.Contains(string(f.Tokens.Keys()), apitest.KeyID) {
		t.Errorf("keys %s", f.Tokens.Keys())
	}

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var fetches atomic.Int64
	f.Keys = func() ([]byte, error) { fetches.Add(1); return apitest.KeySet("key-2", public), nil }
	newer := "Bearer " + f.Sign(jwt.SigningMethodEdDSA, private, "key-2", apitest.Claims("ana"))
	for started := time.Now(); ; {
		if _, err := authenticate(t, f.Tokens, newer); err == nil {
			break
		}
		if time.Since(started) > 10*time.Second {
			t.Fatal("the new key is not found")
		}
	}
	if n := fetches.Load(); n > 12 {
		t.Errorf("an unknown key caused %d fetches", n)
	}
	if _, err := authenticate(t, f.Tokens, f.Authorization("ana")); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("the old key is withdrawn, but its tokens are accepted: %v", err)
	}
}

func TestVerifier_TicketIsValidForOneResource(t *testing.T) {
	f := apitest.Open(t)
	expires := time.Now().Add(10 * time.Minute).Truncate(time.Second)
	ticket := func(name string, value any) string {
		return f.Sign(jwt.SigningMethodEdDSA, f.Key, apitest.KeyID, with(jwt.MapClaims{"iss": apitest.Name + "/stream", "sub": "ana", "roles": []string{"member"},
			"counter": "a", "pos": 7, "until": expires.Unix(), "exp": time.Now().Add(time.Minute).Unix()}, name, value))
	}
	who, err := f.Tokens.Ticket(t.Context(), ticket("jti", "x"), "a")
	if err != nil || who.Actor.ID != "ana" || !who.Actor.HasRole("member") || !who.Expires.Equal(expires) || who.Actor.TokenPosition != 7 {
		t.Errorf("%+v, %v", who, err)
	}
	for name, bad := range map[string]string{"for another resource": ticket("counter", "b"), "for no resource": ticket("counter", nil), "for a number": ticket("counter", 1),
		"expired": ticket("exp", time.Now().Add(-time.Minute).Unix()), "an access token's issuer": ticket("iss", apitest.Name)} {
		if _, err := f.Tokens.Ticket(t.Context(), bad, "a"); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Tokens.Ticket(t.Context(), ticket("counter", nil), ""); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a ticket without a resource is valid for the resource \"\": %v", err)
	}
}
