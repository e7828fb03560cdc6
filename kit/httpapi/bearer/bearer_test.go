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

func ask(t *testing.T, v *bearer.Verifier, authorization string) (bearer.Holder, error) {
	t.Helper()
	return v.AccessToken(t.Context(), http.Header{"Authorization": {authorization}})
}

func TestVerifier_TakesOnlyGoodTokens(t *testing.T) {
	f := apitest.Open(t)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ana := func(name string, value any) string {
		return "Bearer " + f.Sign(jwt.SigningMethodEdDSA, f.Key, apitest.KeyID, with(apitest.Claims("ana", "member"), name, value))
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	good := f.As("ana", "member")
	for name, authorization := range map[string]string{
		"no scheme":               strings.TrimPrefix(good, "Bearer "),
		"another scheme":          "Basic dXNyOnB3",
		"garbage":                 "Bearer a.b.c",
		"cut off":                 good[:len(good)-3],
		"alg none":                "Bearer " + f.Sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, apitest.KeyID, apitest.Claims("ana")),
		"HS256 on the public key": "Bearer " + f.Sign(jwt.SigningMethodHS256, []byte(f.Key.Public().(ed25519.PublicKey)), apitest.KeyID, apitest.Claims("ana")),
		"another's key":           "Bearer " + f.Sign(jwt.SigningMethodEdDSA, stranger, apitest.KeyID, apitest.Claims("ana")),
		"an unknown key":          "Bearer " + f.Sign(jwt.SigningMethodEdDSA, stranger, "key-2", apitest.Claims("ana")),
		"no key named":            "Bearer " + f.Sign(jwt.SigningMethodEdDSA, f.Key, "", apitest.Claims("ana")),
		"expired":                 ana("exp", ago(2*time.Minute)),
		"never expiring":          ana("exp", nil),
		"not yet good":            ana("nbf", ago(-time.Hour)),
		"another issuer":          ana("iss", "mallory"),
		"a ticket's issuer":       ana("iss", apitest.Name+"/stream"),
		"for another":             ana("aud", "mallory"),
		"for nobody":              ana("aud", nil),
		"roles a number":          ana("roles", 7),
		"far too long":            good + strings.Repeat("A", 8192),
	} {
		if who, err := ask(t, f.Tokens, authorization); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	for range 2 { // the second time it is remembered
		who, err := ask(t, f.Tokens, good)
		if err != nil || who.Actor.ID != "ana" || !who.Actor.HasRole("member") || who.Actor.TokenPosition != 7 {
			t.Errorf("%+v, %v", who, err)
		}
	}
	if _, err := ask(t, f.Tokens, ana("exp", ago(30*time.Second))); err != nil { // clocks differ
		t.Error(err)
	}
	picky := bearer.New(bearer.Config{Keys: func(context.Context) ([]byte, error) { return f.Keys() }, Revoked: revocation.New(f.Conn), Issuer: apitest.Name, Audience: apitest.Name,
		Accepts: func(id string, _ []string) bool { return id == "bob" }})
	if _, err := ask(t, picky, good); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("somebody who cannot be was taken: %v", err)
	}
	if _, err := ask(t, picky, f.As("bob")); err != nil {
		t.Error(err)
	}
}

func TestVerifier_RefusesWhatWasRevoked(t *testing.T) {
	f := apitest.Open(t)
	ana := f.As("ana")
	if _, err := ask(t, f.Tokens, ana); err != nil {
		t.Fatal(err)
	}
	if err := revocation.Revoke(t.Context(), f.JS, "ana", 8); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := ask(t, f.Tokens, ana); errs.Is(err, errs.Unauthenticated) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is still taken")
		}
	}
	if _, err := ask(t, f.Tokens, "Bearer "+f.Sign(jwt.SigningMethodEdDSA, f.Key, apitest.KeyID, with(apitest.Claims("ana"), "pos", 8))); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestVerifier_KeysOutliveTheIssuerAndNewOnesAreFound(t *testing.T) {
	f := apitest.Open(t)
	issuer := f.Keys
	f.Keys = func() ([]byte, error) { return nil, errors.New("it is away") }
	if _, err := ask(t, f.Tokens, f.As("ana")); !errs.Is(err, errs.Unavailable) {
		t.Errorf("without any key: %v", err)
	}
	if f.Tokens.Keys() != nil {
		t.Error("it has keys of nowhere")
	}
	f.Keys = issuer
	if _, err := ask(t, f.Tokens, f.As("ana")); err != nil {
		t.Fatal(err)
	}
	f.Keys = func() ([]byte, error) { return nil, errors.New("it is away") }
	for _, who := range []string{"ana", "bob"} {
		if _, err := ask(t, f.Tokens, f.As(who)); err != nil {
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
	var asked atomic.Int64
	f.Keys = func() ([]byte, error) { asked.Add(1); return apitest.KeySet("key-2", public), nil }
	newer := "Bearer " + f.Sign(jwt.SigningMethodEdDSA, private, "key-2", apitest.Claims("ana"))
	for began := time.Now(); ; {
		if _, err := ask(t, f.Tokens, newer); err == nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the new key is not found")
		}
	}
	if n := asked.Load(); n > 12 {
		t.Errorf("an unknown key made %d questions", n)
	}
	if _, err := ask(t, f.Tokens, f.As("ana")); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("the old key is gone, and its tokens are not: %v", err)
	}
}

func TestVerifier_TicketsAreGoodForOneThing(t *testing.T) {
	f := apitest.Open(t)
	until := time.Now().Add(10 * time.Minute).Truncate(time.Second)
	ticket := func(name string, value any) string {
		return f.Sign(jwt.SigningMethodEdDSA, f.Key, apitest.KeyID, with(jwt.MapClaims{"iss": apitest.Name + "/stream", "sub": "ana", "roles": []string{"member"},
			"counter": "a", "pos": 7, "until": until.Unix(), "exp": time.Now().Add(time.Minute).Unix()}, name, value))
	}
	who, err := f.Tokens.Ticket(t.Context(), ticket("jti", "x"), "a")
	if err != nil || who.Actor.ID != "ana" || !who.Actor.HasRole("member") || !who.Expires.Equal(until) || who.Actor.TokenPosition != 7 {
		t.Errorf("%+v, %v", who, err)
	}
	for name, bad := range map[string]string{"for another": ticket("counter", "b"), "for nothing": ticket("counter", nil), "for a number": ticket("counter", 1),
		"expired": ticket("exp", time.Now().Add(-time.Minute).Unix()), "an access token's issuer": ticket("iss", apitest.Name)} {
		if _, err := f.Tokens.Ticket(t.Context(), bad, "a"); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Tokens.Ticket(t.Context(), ticket("counter", nil), ""); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("one for nothing is good for what has no name: %v", err)
	}
}
