package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
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
	var id events.SessionID
	if !isFormer(s.id) {
		id = s.id // earlier versions sign the tokens of theirs without it
	}
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
		Position: s.position,
		Session:  id,
	}, s.changed)
}

// sign signs claims with the key of the time at which they are issued. It is Unavailable when
// there is no key.
func (iss issuer) sign(c jwt.Claims, issued time.Time) (string, error) {
	k, err := iss.keys.signer(issued)
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"] = k.id
	return token.SignedString(k.private)
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
