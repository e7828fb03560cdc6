package bearer_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lonja/kit/httpapi/apitest"
	"lonja/kit/httpapi/bearer"
	"lonja/kit/revocation"
)

// A token is verified without a request to the issuer. It is valid until it expires or is
// revoked.
func Example() {
	ctx := context.Background()
	fixture, err := apitest.Start(ctx) // a NATS server with a stream of revocations
	if err != nil {
		log.Fatal(err)
	}
	defer fixture.Close()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	tokens := bearer.New(bearer.Config{Issuer: "example", Audience: "example", Revoked: revocation.New(fixture.Conn),
		FetchKeys: func(context.Context) ([]byte, error) { return apitest.KeySet("key-1", public), nil }})

	signed := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": "example", "aud": "example", "sub": "ana",
		"roles": []string{"editor"}, "pos": 7, "exp": time.Now().Add(time.Minute).Unix()})
	signed.Header["kid"] = "key-1"
	token, err := signed.SignedString(private)
	if err != nil {
		log.Fatal(err)
	}
	header := http.Header{"Authorization": {"Bearer " + token}}
	who, err := tokens.AccessToken(ctx, header)
	fmt.Println(who.Actor.ID, who.Actor.Roles, err)

	// Tokens that were signed before position 8 are revoked. A new verifier sees that at
	// once, every other one within a second.
	if err := revocation.Revoke(ctx, fixture.JS, "ana", 8); err != nil {
		log.Fatal(err)
	}
	other := bearer.New(bearer.Config{Issuer: "example", Audience: "example", Revoked: revocation.New(fixture.Conn),
		FetchKeys: func(context.Context) ([]byte, error) { return apitest.KeySet("key-1", public), nil }})
	_, err = other.AccessToken(ctx, header)
	fmt.Println(err)
	// Output:
	// ana [editor] <nil>
	// unauthenticated: the access token has been revoked; refresh the session, or log in again
}
