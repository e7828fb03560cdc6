package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/revocation"
)

// Leeway is the tolerated difference between clocks: an access token is accepted for so
// long after it has expired.
const Leeway = time.Minute

// ticketLeeway is the same for tickets. It is shorter, since a ticket is in a URL.
const ticketLeeway = 10 * time.Second

// Config configures a Verifier. FetchKeys, Revoked, Issuer and Audience are required.
type Config struct {
	// FetchKeys returns the issuer's keys as a JSON Web Key Set (RFC 7517). One call runs
	// at a time.
	FetchKeys func(context.Context) ([]byte, error)
	// Revoked lists the revoked access tokens.
	Revoked *revocation.List
	// Issuer and Audience are the required values of the claims iss and aud of an access
	// token.
	Issuer, Audience string
	// TicketIssuer is the required value of the claim iss of a ticket. TicketResource is
	// the name of the claim that holds the resource that a ticket is valid for; errors
	// use it, too. If TicketIssuer is "", no ticket is accepted.
	TicketIssuer, TicketResource string
	// Accepts reports whether an ID and roles are well-formed; a token with others is
	// not valid. Nil accepts all.
	Accepts func(id string, roles []string) bool
}

// Holder is the user that a token was issued to.
type Holder struct {
	Actor   eventlog.Actor
	Expires time.Time // as in the token, without Leeway
	keyID   string
}

// Verifier verifies access tokens and tickets. It is safe for concurrent use.
//
// Verifying a signature costs more than the rest of a read. So valid access tokens are
// cached, by their hash, until they expire or their key is withdrawn. Revocation is
// checked every time.
type Verifier struct {
	config   Config
	keys     *keySet
	access   tokenKind
	tickets  tokenKind
	verified *lru.Cache[[sha256.Size]byte, Holder]
}

// New returns a verifier, which fetches keys when it verifies the first token. New panics
// if a required field of Config is missing.
func New(c Config) *Verifier {
	if c.FetchKeys == nil || c.Revoked == nil || c.Issuer == "" || c.Audience == "" {
		panic("bearer: FetchKeys, Revoked, Issuer and Audience are required")
	}
	verified, err := lru.New[[sha256.Size]byte, Holder](10_000)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Verifier{config: c, keys: &keySet{fetch: c.FetchKeys, clock: time.Now}, verified: verified,
		access: tokenKind{newParser(c.Issuer, Leeway), "the access token has expired; refresh the session", "the access token is not valid"},
		tickets: tokenKind{newParser(c.TicketIssuer, ticketLeeway), "the ticket has expired; request a new one",
			"the ticket is not valid for this " + c.TicketResource},
	}
}

// Keys returns the issuer's key set as it was last fetched, nil if it never was. The
// caller must not change it.
func (v *Verifier) Keys() []byte { return v.keys.raw() }

// Check returns an error with the code Unauthenticated when the actor's access token has
// been revoked, and with the code Unavailable when that is unknown at the moment.
func (v *Verifier) Check(ctx context.Context, actor eventlog.Actor) error {
	return v.config.Revoked.Check(ctx, actor)
}

// AccessToken verifies the access token in a request's headers and returns its holder.
// The error has the code Unauthenticated; or Unavailable, while no key or revocation can
// be looked up.
func (v *Verifier) AccessToken(ctx context.Context, h http.Header) (Holder, error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return Holder{}, errs.New(errs.Unauthenticated, "an access token is required: Authorization: Bearer …")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || len(token) > 8192 {
		return Holder{}, errs.New(errs.Unauthenticated, "the header must be one Authorization: Bearer …")
	}
	sum := sha256.Sum256([]byte(token))
	holder, ok := v.verified.Get(sum)
	if ok {
		_, err := v.keys.find(ctx, holder.keyID)
		ok = err == nil && time.Now().Before(holder.Expires.Add(Leeway))
	}
	if !ok {
		var c claims
		keyID, err := v.parse(ctx, v.access, token, &c, func() bool { return c.hasAudience(v.config.Audience) && v.accepts(c) })
		if err != nil {
			return Holder{}, err
		}
		holder = Holder{c.actor(), c.ExpiresAt.Time, keyID}
		v.verified.Add(sum, holder)
	}
	return holder, v.Check(ctx, holder.Actor)
}

// Ticket verifies a ticket for a resource and returns its holder, who expires with the
// access token that the ticket was issued for. Errors are those of AccessToken.
func (v *Verifier) Ticket(ctx context.Context, ticket, resource string) (Holder, error) {
	if v.config.TicketIssuer == "" {
		return Holder{}, errs.New(errs.Unauthenticated, "tickets are not accepted here")
	}
	c := ticketClaims{claim: v.config.TicketResource}
	keyID, err := v.parse(ctx, v.tickets, ticket, &c, func() bool { return c.resource != "" && c.resource == resource && v.accepts(c.claims) })
	if err != nil {
		return Holder{}, err
	}
	holder := Holder{c.actor(), time.Unix(c.accessExpires, 0), keyID}
	return holder, v.Check(ctx, holder.Actor)
}

func (v *Verifier) accepts(c claims) bool {
	return v.config.Accepts == nil || v.config.Accepts(c.Subject, c.Roles)
}

// tokenKind is how tokens of a kind are parsed, and the errors for those that have expired
// or are not valid.
type tokenKind struct {
	parser           *jwt.Parser
	expired, invalid string
}

func newParser(issuer string, leeway time.Duration) *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(), jwt.WithLeeway(leeway))
}

// parse parses a token into claims. It returns an error unless a key of the issuer signed
// it and valid, which is called once the claims are filled in, returns true.
func (v *Verifier) parse(ctx context.Context, k tokenKind, token string, into jwt.Claims, valid func() bool) (keyID string, err error) {
	_, err = k.parser.ParseWithClaims(token, into, func(tok *jwt.Token) (any, error) {
		keyID, _ = tok.Header["kid"].(string)
		return v.keys.find(ctx, keyID)
	})
	switch {
	case errs.Is(err, errs.Unavailable):
		return "", err
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", errs.New(errs.Unauthenticated, "%s", k.expired)
	case err != nil, !valid():
		return "", errs.New(errs.Unauthenticated, "%s", k.invalid)
	}
	return keyID, nil
}
