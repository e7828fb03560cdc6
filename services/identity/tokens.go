package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
	"lonja/events/claims"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// accessLife is how long an access token is good, unless it is revoked before.
const accessLife = 10 * time.Minute

// refreshToken is a session's token after n rotations. Written, it carries a
// MAC of both, so only the realm can make one, and makes the same one again
// when a command comes twice.
type refreshToken struct {
	session events.SessionID
	n       int
}

func (r realm) write(t refreshToken) string {
	claim := string(t.session) + "." + strconv.Itoa(t.n)
	return claim + "." + base64.RawURLEncoding.EncodeToString(r.mac("refresh", claim))
}

// read is an Unauthenticated refusal unless the realm wrote the token.
func (r realm) read(written string) (refreshToken, error) {
	session, rest, _ := strings.Cut(written, ".")
	number, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(number)
	t := refreshToken{events.SessionID(session), n}
	if err != nil || !hmac.Equal([]byte(r.write(t)), []byte(written)) {
		return t, badToken()
	}
	return t, nil
}

// hashOf is what the log keeps of a refresh token.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// access is a user's access token, issued when the session last moved: the
// same one every time, as long as the user's roles are the same.
func (r realm) access(u user, s session) (string, error) {
	return r.sign(claims.Access{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    claims.Issuer,
			Audience:  jwt.ClaimStrings{claims.Audience},
			Subject:   string(u.ID),
			IssuedAt:  jwt.NewNumericDate(s.moved),
			ExpiresAt: jwt.NewNumericDate(s.moved.Add(accessLife)),
			ID:        eventlog.DeriveID("access", string(s.id), strconv.Itoa(s.rotations)),
		},
		Roles:    u.Roles,
		Position: s.movedAt,
	})
}

// sign signs with the newest key.
func (r realm) sign(said jwt.Claims) (string, error) {
	if len(r.keys) == 0 {
		return "", fmt.Errorf("the realm has no key to sign with")
	}
	signing := r.keys[len(r.keys)-1]
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, said)
	token.Header["kid"] = signing.id
	return token.SignedString(signing.private)
}

// tokens is the pair that a session stands at.
func (r realm) tokens(u user, s session) (query.Tokens, error) {
	access, err := r.access(u, s)
	return query.Tokens{
		User:         u.UserView,
		AccessToken:  access,
		RefreshToken: r.write(refreshToken{s.id, s.rotations}),
		TokenType:    "Bearer",
		ExpiresIn:    int64(accessLife / time.Second),
	}, err
}

func badToken() error {
	return errs.New(errs.Unauthenticated, "the refresh token is no longer good; log in again")
}
