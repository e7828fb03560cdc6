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

// Leeway is how far clocks may be apart: an access token is taken so long after
// it has expired.
const Leeway = time.Minute

// ticketLeeway is how much longer than it says a ticket is good, since clocks differ.
const ticketLeeway = 10 * time.Second

// Config says whose tokens are taken. Keys, Revoked, Issuer and Audience are
// required.
type Config struct {
	// Keys asks for the issuer's keys, as a JSON Web Key Set (RFC 7517).
	Keys func(context.Context) ([]byte, error)
	// Revoked are the access tokens that were taken back.
	Revoked *revocation.List
	// Issuer and Audience are the claims iss and aud that an access token must have.
	Issuer, Audience string
	// TicketIssuer is the claim iss of a ticket, and TicketFor both the claim that
	// names what a ticket is good for and the word for it in errors. Without a
	// TicketIssuer no ticket is taken.
	TicketIssuer, TicketFor string
	// Accepts reports whether there can be somebody with this id and these roles;
	// nil accepts everybody.
	Accepts func(id string, roles []string) bool
}

// Holder is whom a token names.
type Holder struct {
	Actor   eventlog.Actor
	Expires time.Time // by the token, without Leeway
	keyID   string
}

// Verifier verifies access tokens and tickets. A signature costs more to verify
// than all the rest of a read, so access tokens that were found good are remembered,
// by their hash, for as long as they and their key are. Whether they were revoked
// since is looked up each time. It is safe for concurrent use.
type Verifier struct {
	config  Config
	keys    *keySet
	access  kind
	tickets kind
	good    *lru.Cache[[sha256.Size]byte, Holder]
}

// New is a verifier. It asks for keys when the first token comes. It panics when
// something that Config requires is missing.
func New(c Config) *Verifier {
	if c.Keys == nil || c.Revoked == nil || c.Issuer == "" || c.Audience == "" {
		panic("bearer: Keys, Revoked, Issuer and Audience are required")
	}
	good, err := lru.New[[sha256.Size]byte, Holder](10_000)
	if err != nil {
		panic(err) // only a size below one
	}
	return &Verifier{config: c, keys: &keySet{ask: c.Keys}, good: good,
		access: kind{newParser(c.Issuer, Leeway), "the access token has expired; refresh the session", "the access token is not valid"},
		tickets: kind{newParser(c.TicketIssuer, ticketLeeway), "the ticket has expired; ask for another one",
			"the ticket is not valid for this " + c.TicketFor},
	}
}

// Keys are the issuer's keys as they were last read, nil when they never were.
func (v *Verifier) Keys() []byte { return v.keys.raw() }

// Check returns an error with the code Unauthenticated when an actor's access
// token has been revoked, and Unavailable while nobody can say.
func (v *Verifier) Check(ctx context.Context, who eventlog.Actor) error {
	return v.config.Revoked.Check(ctx, who)
}

// AccessToken is the holder of the access token in a request's headers. The
// error has the code Unauthenticated, or Unavailable while no key is known or
// nobody can say what was revoked.
func (v *Verifier) AccessToken(ctx context.Context, h http.Header) (Holder, error) {
	sent := h["Authorization"]
	if len(sent) == 0 {
		return Holder{}, errs.New(errs.Unauthenticated, "an access token is required: Authorization: Bearer …")
	}
	scheme, token, _ := strings.Cut(sent[0], " ")
	if len(sent) > 1 || !strings.EqualFold(scheme, "Bearer") || len(token) > 8192 {
		return Holder{}, errs.New(errs.Unauthenticated, "the header must be one Authorization: Bearer …")
	}
	sum := sha256.Sum256([]byte(token))
	who, ok := v.good.Get(sum)
	if !ok || !time.Now().Before(who.Expires.Add(Leeway)) || !v.keys.has(who.keyID) {
		var said claims
		keyID, err := v.parse(ctx, v.access, token, &said, func() bool { return said.forUs(v.config.Audience) && v.accepts(said) })
		if err != nil {
			return Holder{}, err
		}
		who = Holder{said.actor(), said.ExpiresAt.Time, keyID}
		v.good.Add(sum, who)
	}
	return who, v.Check(ctx, who.Actor)
}

// Ticket is the holder of a ticket for one thing. The holder expires when the
// access token does that the ticket was given for. Errors are as AccessToken's.
func (v *Verifier) Ticket(ctx context.Context, ticket, thing string) (Holder, error) {
	if v.config.TicketIssuer == "" {
		return Holder{}, errs.New(errs.Unauthenticated, "tickets are not taken here")
	}
	said := ticketClaims{claim: v.config.TicketFor}
	keyID, err := v.parse(ctx, v.tickets, ticket, &said, func() bool { return said.thing != "" && said.thing == thing && v.accepts(said.claims) })
	if err != nil {
		return Holder{}, err
	}
	who := Holder{said.actor(), time.Unix(said.until, 0), keyID}
	return who, v.Check(ctx, who.Actor)
}

func (v *Verifier) accepts(c claims) bool {
	return v.config.Accepts == nil || v.config.Accepts(c.Subject, c.Roles)
}

// kind is a kind of token: how it is read, and what is said of one that has
// expired and of one that is not valid.
type kind struct {
	parser           *jwt.Parser
	expired, invalid string
}

func newParser(issuer string, leeway time.Duration) *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(), jwt.WithLeeway(leeway))
}

// parse reads a token that one of the issuer's keys signed, and that is good.
func (v *Verifier) parse(ctx context.Context, k kind, token string, into jwt.Claims, good func() bool) (keyID string, err error) {
	_, err = k.parser.ParseWithClaims(token, into, func(tok *jwt.Token) (any, error) {
		keyID, _ = tok.Header["kid"].(string)
		return v.keys.find(ctx, keyID)
	})
	switch {
	case errs.Is(err, errs.Unavailable):
		return "", err
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", errs.New(errs.Unauthenticated, "%s", k.expired)
	case err != nil, !good():
		return "", errs.New(errs.Unauthenticated, "%s", k.invalid)
	}
	return keyID, nil
}
