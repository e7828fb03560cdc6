package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
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

// accessLife is how long an access token is valid, unless it is revoked before.
const accessLife = 10 * time.Minute

// refreshToken is a session's token after n rotations. Its text carries a MAC of both: only
// the issuer can write it, and writes the same text again when a command comes twice.
type refreshToken struct {
	session events.SessionID
	n       int
}

func (iss issuer) formatRefreshToken(t refreshToken) string {
	claim := string(t.session) + "." + strconv.Itoa(t.n)
	return claim + "." + base64.RawURLEncoding.EncodeToString(iss.mac("refresh", claim))
}

// parseRefreshToken is Unauthenticated unless the issuer wrote the token.
func (iss issuer) parseRefreshToken(text string) (refreshToken, error) {
	session, rest, _ := strings.Cut(text, ".")
	number, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(number)
	t := refreshToken{events.SessionID(session), n}
	if err != nil || !hmac.Equal([]byte(iss.formatRefreshToken(t)), []byte(text)) {
		return t, invalidToken()
	}
	return t, nil
}

// hashToken returns what the log keeps of a refresh token.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// accessToken returns a user's access token, issued at the session's last event. It is the
// same every time while the user's roles are the same.
func (iss issuer) accessToken(u user, s session) (string, error) {
	return iss.sign(claims.Access{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    claims.Issuer,
			Audience:  jwt.ClaimStrings{claims.Audience},
			Subject:   string(u.ID),
			IssuedAt:  jwt.NewNumericDate(s.changed),
			ExpiresAt: jwt.NewNumericDate(s.changed.Add(accessLife)),
			ID:        eventlog.DeriveID("access", string(s.id), strconv.Itoa(s.rotations)),
		},
		Roles:    u.Roles,
		Position: s.changedAt,
	})
}

// sign signs claims with the newest key. It fails only when there is no key yet.
func (iss issuer) sign(c jwt.Claims) (string, error) {
	if len(iss.keys) == 0 {
		return "", errors.New("the issuer has no key to sign with")
	}
	newest := iss.keys[len(iss.keys)-1]
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"] = newest.id
	return token.SignedString(newest.private)
}

// tokens returns the present pair of tokens of a session.
func (iss issuer) tokens(u user, s session) (query.Tokens, error) {
	access, err := iss.accessToken(u, s)
	return query.Tokens{
		User:         u.UserView,
		AccessToken:  access,
		RefreshToken: iss.formatRefreshToken(refreshToken{s.id, s.rotations}),
		TokenType:    "Bearer",
		ExpiresIn:    int64(accessLife / time.Second),
	}, err
}

func invalidToken() error {
	return errs.New(errs.Unauthenticated, "the refresh token is no longer valid; log in again")
}
