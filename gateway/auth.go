package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"lonja/events/claims"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/revocation"
)

// leeway is how far clocks may be apart.
const leeway = time.Minute

// holder is what an access token says of whoever sends it.
type holder struct {
	actor   eventlog.Actor
	expires time.Time
	keyID   string
}

// tokens verifies access tokens. A signature costs more to verify than all
// the rest of a read, so tokens that were found good are remembered, by their
// hash, for as long as they and their key are. Whether they were revoked since is
// looked up each time.
type tokens struct {
	keys    *keyring
	revoked *revocation.List
	parser  *jwt.Parser
	tickets *jwt.Parser
	good    *lru.Cache[[sha256.Size]byte, holder]
}

func newTokens(ask func(context.Context) ([]byte, error), revoked *revocation.List) *tokens {
	good, err := lru.New[[sha256.Size]byte, holder](10_000)
	if err != nil {
		panic(err) // only a size below one
	}
	return &tokens{keys: &keyring{ask: ask}, revoked: revoked, good: good, tickets: newTicketParser(), parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(claims.Issuer),
		jwt.WithExpirationRequired(), jwt.WithLeeway(leeway))}
}

// bearer is the holder of the access token in a request's header. It refuses
// as Unauthenticated, or as Unavailable while no key is known or nobody can say
// what was revoked.
func (t *tokens) bearer(ctx context.Context, h http.Header) (holder, error) {
	sent := h["Authorization"]
	if len(sent) == 0 {
		return holder{}, errs.New(errs.Unauthenticated, "an access token is required: Authorization: Bearer …")
	}
	scheme, token, _ := strings.Cut(sent[0], " ")
	if len(sent) > 1 || !strings.EqualFold(scheme, "Bearer") || len(token) > 8192 {
		return holder{}, errs.New(errs.Unauthenticated, "the header must be one Authorization: Bearer …")
	}
	sum := sha256.Sum256([]byte(token))
	who, ok := t.good.Get(sum)
	if !ok || !time.Now().Before(who.expires.Add(leeway)) || !t.keys.has(who.keyID) {
		var err error
		if who, err = t.verify(ctx, token); err != nil {
			return holder{}, err
		}
		t.good.Add(sum, who)
	}
	return who, t.revoked.Check(ctx, who.actor)
}

// actorIn is whom a token names that was signed by identity.
func actorIn(c claims.Access) eventlog.Actor {
	return eventlog.Actor{ID: c.Subject, Roles: c.Roles, Signed: c.Position}
}

// parse reads a token that one of identity's keys signed. The error is the
// parser's, or Unavailable while no key is known.
func (t *tokens) parse(ctx context.Context, parser *jwt.Parser, token string, into jwt.Claims) (keyID string, err error) {
	_, err = parser.ParseWithClaims(token, into, func(tok *jwt.Token) (any, error) {
		keyID, _ = tok.Header["kid"].(string)
		return t.keys.find(ctx, keyID)
	})
	return keyID, err
}

func (t *tokens) verify(ctx context.Context, token string) (holder, error) {
	var said claims.Access
	keyID, err := t.parse(ctx, t.parser, token, &said)
	switch {
	case errs.Is(err, errs.Unavailable):
		return holder{}, err
	case errors.Is(err, jwt.ErrTokenExpired):
		return holder{}, errs.New(errs.Unauthenticated, "the access token has expired; refresh the session")
	case err != nil, !said.ForShop(), !said.NamesUser():
		return holder{}, errs.New(errs.Unauthenticated, "the access token is not valid")
	}
	return holder{actorIn(said), said.ExpiresAt.Time, keyID}, nil
}
