package identity

import (
	"context"
	"strconv"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// tokenHolder is a user who gets tokens.
type tokenHolder struct {
	issuer   issuer
	user     user
	position uint64               // on IDENTITY: user shows everything up to there
	reload   func() (user, error) // loads the user again
}

func (i *identity) tokenHolder(ctx context.Context, id events.UserID) (h tokenHolder, err error) {
	h.reload = func() (user, error) { return i.loadUser(ctx, id) }
	if h.position, err = i.users.End(ctx); err != nil { // before the user, or a change could be missed
		return h, err
	}
	if h.user, err = h.reload(); err != nil {
		return h, err
	}
	h.issuer, err = i.signing(ctx)
	return h, err
}

// Reply implements service.Replier. The answer is the session's tokens, or Unauthenticated
// when the command ended the session.
//
// The user is loaded again after the session's event was recorded. So a change before the
// event shows in the token, and a change after it revokes the token: no change is missed. What
// changes between the load before and the event does both, so the next token is the first that is valid.
func (h tokenHolder) Reply(s session, event events.Event) any {
	switch event.(type) {
	case events.SessionEnded, events.LoginEnded:
		return invalidToken()
	}
	u, err := h.reload()
	if err == nil && (!u.exists() || u.passwordAt != h.user.passwordAt) {
		err = invalidToken()
	}
	if err != nil {
		return err
	}
	tokens, err := h.issuer.tokens(u, s)
	if err != nil {
		return err
	}
	return tokens
}

// authenticated is a user who gave the right password.
type authenticated struct{ tokenHolder }

// Fingerprint implements service.Fingerprinter.
func (a authenticated) Fingerprint() string { return string(a.user.ID) }

// lookUpLogin checks the password of a login. It does the same work for an unknown address
// as for a wrong password, and returns the same error.
func (i *identity) lookUpLogin(ctx context.Context, c command.LogIn, actor eventlog.Actor) (authenticated, error) {
	var at place
	wrong := errs.New(errs.Unauthenticated, "email or password is wrong")
	err := i.checkPassword(ctx, i.attemptAt(c.Email, actor), c.Password, func() (place, error) {
		var err error
		at, err = i.findByEmail(ctx, c.Email)
		return at, err
	}, wrong)
	if err != nil {
		return authenticated{}, err
	}
	holder, err := i.tokenHolder(ctx, at.user.ID)
	if err == nil && holder.user.passwordAt != at.user.passwordAt {
		err = wrong // it was changed meanwhile
	}
	return authenticated{holder}, err
}

// attemptAt names a client's attempt to give the password of the account with an email
// address. It loads nothing.
func (i *identity) attemptAt(email string, actor eventlog.Actor) attempt {
	return attempt{i.issuer.addressIDs(email)[0], actor.ClientNetwork}
}

// checkPassword returns an error, the one given as wrong, unless a password is that of the
// user whom load returns. It is RateLimited when there were too many attempts.
func (i *identity) checkPassword(ctx context.Context, a attempt, password string, load func() (place, error), wrong error) error {
	leave, err := i.throttle.admit(ctx, a)
	if err != nil {
		return err
	}
	defer leave()
	at, err := load()
	if err != nil {
		return err
	}
	ok, err := i.passwords.match(ctx, at.user.passwordHash, password, i.issuer.salt(at.id))
	switch {
	case err == nil && !ok:
		i.throttle.failed(a)
		err = wrong
	case err == nil:
		i.throttle.succeeded(a)
	}
	return err
}

// renewal is a user who has a refresh token of one of their sessions.
type renewal struct {
	tokenHolder
	token refreshToken
}

// Fingerprint implements service.Fingerprinter.
func (r renewal) Fingerprint() string {
	return string(r.token.session) + "." + strconv.Itoa(r.token.n)
}

// lookUpRenewal loads the user of a session, whose roles may have changed since the login.
func (i *identity) lookUpRenewal(ctx context.Context, c command.RefreshSession, actor eventlog.Actor) (renewal, error) {
	token, err := i.issuer.parseRefreshToken(c.RefreshToken)
	if err == nil {
		err = i.throttle.admitRefresh(token.session, actor.ClientNetwork)
	}
	if err != nil {
		return renewal{}, err
	}
	var id events.UserID
	if err := i.sessions.Peek(ctx, string(token.session), func(s session) { id = s.user }); err != nil {
		return renewal{}, err
	}
	if id == "" {
		return renewal{}, invalidToken()
	}
	holder, err := i.tokenHolder(ctx, id)
	if err == nil && !holder.user.exists() {
		err = invalidToken() // they were erased
	}
	return renewal{holder, token}, err
}

// refreshTarget returns the session that a refresh token belongs to.
func (i *identity) refreshTarget(_ context.Context, c command.RefreshSession) (string, error) {
	token, err := i.issuer.parseRefreshToken(c.RefreshToken)
	return string(token.session), err
}

// lookUpLogOut only checks the token and the limits: the decision needs nothing else.
func (i *identity) lookUpLogOut(_ context.Context, c command.LogOut, actor eventlog.Actor) (none struct{}, err error) {
	token, err := i.issuer.parseRefreshToken(c.RefreshToken)
	if err == nil {
		err = i.throttle.admitRefresh(token.session, actor.ClientNetwork)
	}
	return none, err
}

// logOutTarget returns the session that a refresh token belongs to.
func (i *identity) logOutTarget(_ context.Context, c command.LogOut) (string, error) {
	token, err := i.issuer.parseRefreshToken(c.RefreshToken)
	return string(token.session), err
}
