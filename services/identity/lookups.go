package identity

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// account is a registration with its password hashed. sent is built from the registration as
// it was sent: two registrations are compared by it, as in earlier versions, which recorded
// its hash.
type account struct {
	name, email, passwordHash string
	sent                      string
	trust                     func() // called with every answer: makes the client trusted
}

// Reply implements service.Replier.
func (a account) Reply(u user, event events.Event) any {
	a.trust()
	return reply(u, event)
}

// Fingerprint implements service.Fingerprinter.
func (a account) Fingerprint() string { return a.sent }

// registerTarget returns the id of the account that a registration is about.
func (i *identity) registerTarget(ctx context.Context, c command.RegisterUser) (string, error) {
	id, err := i.userIDFor(ctx, c.Email)
	return string(id), err
}

// userIDFor returns the id of the user who has an email address, or would have it. It loads
// users only for the few addresses that earlier versions wrote differently.
func (i *identity) userIDFor(ctx context.Context, email string) (events.UserID, error) {
	if ids := i.issuer.userIDs(email); len(ids) == 1 {
		return ids[0], nil
	}
	id, _, err := i.findByEmail(ctx, email)
	return id, err
}

// findByEmail returns the user who has an email address; when there is none, the id that the
// user would have. It always loads all users that it may be, so its duration does not reveal
// which of them exists.
func (i *identity) findByEmail(ctx context.Context, email string) (id events.UserID, u user, err error) {
	for n, candidate := range i.issuer.userIDs(email) {
		found, err := i.loadUser(ctx, candidate)
		if err != nil {
			return "", user{}, err
		}
		if n == 0 || found.exists() && !u.exists() {
			id, u = candidate, found
		}
	}
	return id, u, nil
}

// lookUpAccount hashes the password of a registration, also when the address is taken:
// whether the command came before shows only when its hash is compared with the recorded
// one.
func (i *identity) lookUpAccount(ctx context.Context, c command.RegisterUser, actor eventlog.Actor) (account, error) {
	leave, err := i.throttle.queue.enter(ctx, actor.ClientNetwork, untrusted)
	if err != nil {
		return account{}, err
	}
	defer leave()
	id, err := i.userIDFor(ctx, c.Email)
	if err != nil {
		return account{}, err
	}
	a, err := i.hashAccount(ctx, id, c)
	a.trust = func() { i.throttle.succeeded(attempt{i.issuer.userIDs(c.Email)[0], actor.ClientNetwork}) }
	return a, err
}

func (i *identity) hashAccount(ctx context.Context, id events.UserID, c command.RegisterUser) (account, error) {
	n, _ := c.Normal() // its error is returned when the command is decided
	hashes, err := i.passwords.hashes(ctx, currentCost, c.Password, i.issuer.salt(id))
	if err != nil {
		return account{}, err
	}
	return account{name: n.Name, email: n.Email, passwordHash: hashes[0],
		sent: strings.Join([]string{c.Name, strings.ToLower(strings.TrimSpace(c.Email)), hashes[len(hashes)-1]}, "\x00")}, nil
}

// tokenHolder is a user who gets tokens.
type tokenHolder struct {
	issuer issuer
	user   user
	reload func() (user, error) // loads the user again
}

func (i *identity) tokenHolder(ctx context.Context, u user) tokenHolder {
	return tokenHolder{i.issuer, u, func() (user, error) { return i.loadUser(ctx, u.ID) }}
}

// Reply implements service.Replier. The answer is the session's tokens, or Unauthenticated
// when the command ended the session.
//
// The user is loaded again after the session's event was recorded. So a change before the
// event shows in the token, and a change after it revokes the token: no change is missed.
func (h tokenHolder) Reply(s session, event events.Event) any {
	if _, ended := event.(events.SessionEnded); ended {
		return invalidToken()
	}
	u, err := h.reload()
	if err == nil && u.passwordAt != h.user.passwordAt {
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
	a := attempt{i.issuer.userIDs(c.Email)[0], actor.ClientNetwork} // known without loading anything
	leave, err := i.throttle.admit(ctx, a)
	if err != nil {
		return authenticated{}, err
	}
	defer leave()
	id, u, err := i.findByEmail(ctx, c.Email)
	if err != nil {
		return authenticated{}, err
	}
	ok, err := i.passwords.match(ctx, u.passwordHash, c.Password, i.issuer.salt(id))
	switch {
	case err == nil && !ok:
		i.throttle.failed(a)
		err = errs.New(errs.Unauthenticated, "email or password is wrong")
	case err == nil:
		i.throttle.succeeded(a)
	}
	return authenticated{i.tokenHolder(ctx, u)}, err
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
	u, err := i.loadUser(ctx, id)
	return renewal{i.tokenHolder(ctx, u), token}, err
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

// newHash is the hash of a new password.
type newHash string

// Fingerprint implements service.Fingerprinter.
func (h newHash) Fingerprint() string { return string(h) }

// resetTarget returns the account that gets a new password: without an address, the first
// administrator's.
func (i *identity) resetTarget(ctx context.Context, c command.ResetPassword) (string, error) {
	if c.Email == "" {
		return string(i.issuer.admin), nil
	}
	id, err := i.userIDFor(ctx, c.Email)
	return string(id), err
}

// lookUpNewHash hashes the new password.
func (i *identity) lookUpNewHash(ctx context.Context, c command.ResetPassword) (newHash, error) {
	id, err := i.resetTarget(ctx, c)
	if err != nil {
		return "", err
	}
	hash, err := i.passwords.hash(ctx, currentCost, events.NormalText(c.Password), i.issuer.salt(events.UserID(id)))
	return newHash(hash), err
}

// lookUpActing returns the user who sends a command, as they are now.
func (i *identity) lookUpActing(ctx context.Context, _ command.SetRoles, actor eventlog.Actor) (user, error) {
	return i.loadActor(ctx, actor)
}

// loadActor returns the user who sends a message, as they are now; their token shows them as
// they were when it was signed. When the sender is not a user, it returns one that does not
// exist.
func (i *identity) loadActor(ctx context.Context, actor eventlog.Actor) (user, error) {
	if !events.IsToken(actor.ID) {
		return user{}, nil
	}
	return i.loadUser(ctx, events.UserID(actor.ID))
}

// loadUser returns a user as they are now. One that does not exist has no id and no hash.
func (i *identity) loadUser(ctx context.Context, id events.UserID) (found user, err error) {
	err = i.users.Peek(ctx, string(id), func(u user) {
		found = u
		found.Roles = slices.Clone(u.Roles) // the state itself must not be kept
	})
	return found, err
}
