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

// What the decisions need to know besides an entity's state, and how it is
// found out.

// account is a registration with its password hashed. Sent is what it was made
// of, as it was sent: two registrations are compared by that, since earlier
// versions recorded them so.
type account struct {
	name, email, passwordHash string
	sent                      string
	welcome                   func() // is called once it is registered, and whenever that is told again
}

// Reply implements service.Replier.
func (a account) Reply(u user, event events.Event) any {
	a.welcome()
	return show(u, event)
}

// Fingerprint implements service.Fingerprinter.
func (a account) Fingerprint() string { return a.sent }

// applicant, refreshed and loggedOut say whom their commands are about.
func (i *identity) applicant(ctx context.Context, c command.RegisterUser) (string, error) {
	id, err := i.idFor(ctx, c.Email)
	return string(id), err
}

// idFor is the id of whoever has an address, or would have it. It seldom takes
// a look at the log to know it.
func (i *identity) idFor(ctx context.Context, email string) (events.UserID, error) {
	if ids := i.realm.userIDs(email); len(ids) == 1 {
		return ids[0], nil
	}
	id, _, err := i.holder(ctx, email)
	return id, err
}

// holder is whoever has an address, or the id that they would have. All that
// they may be is looked up, whoever is found: how long that takes tells nothing.
func (i *identity) holder(ctx context.Context, email string) (id events.UserID, u user, err error) {
	for n, candidate := range i.realm.userIDs(email) {
		found, err := i.look(ctx, candidate)
		if err != nil {
			return "", user{}, err
		}
		if n == 0 || found.known() && !u.known() {
			id, u = candidate, found
		}
	}
	return id, u, nil
}

// hashed hashes the password of taken addresses, too: whether the command has
// come before shows only once it is compared with what was recorded.
func (i *identity) hashed(ctx context.Context, c command.RegisterUser, who eventlog.Actor) (account, error) {
	leave, err := i.guard.room.enter(ctx, who.ClientNetwork, stranger)
	if err != nil {
		return account{}, err
	}
	defer leave()
	id, err := i.idFor(ctx, c.Email)
	if err != nil {
		return account{}, err
	}
	a, err := i.account(ctx, id, c)
	a.welcome = func() { i.guard.right(guess{i.realm.userIDs(c.Email)[0], who.ClientNetwork}) }
	return a, err
}

func (i *identity) account(ctx context.Context, id events.UserID, c command.RegisterUser) (account, error) {
	n, _ := c.Normal() // what is wrong is said when it is decided
	hashes, err := i.passwords.hashes(ctx, today, c.Password, i.realm.salt(id))
	if err != nil {
		return account{}, err
	}
	return account{name: n.Name, email: n.Email, passwordHash: hashes[0],
		sent: strings.Join([]string{c.Name, strings.ToLower(strings.TrimSpace(c.Email)), hashes[len(hashes)-1]}, "\x00")}, nil
}

// bearer is a user who is to have tokens.
type bearer struct {
	realm realm
	user  user
	again func() (user, error) // looks the user up once more
}

func (i *identity) bearer(ctx context.Context, u user) bearer {
	return bearer{i.realm, u, func() (user, error) { return i.look(ctx, u.ID) }}
}

// Reply implements service.Replier: the session's tokens, or no, when what the
// command led to was the session's end.
//
// The user is looked up once more, after the session's event was recorded. So
// what changed before it shows in the token, and what changes after it revokes
// the token; nothing falls between.
func (b bearer) Reply(s session, event events.Event) any {
	if _, ended := event.(events.SessionEnded); ended {
		return badToken()
	}
	u, err := b.again()
	if err == nil && u.passwordAt != b.user.passwordAt {
		err = badToken()
	}
	if err != nil {
		return err
	}
	tokens, err := b.realm.tokens(u, s)
	if err != nil {
		return err
	}
	return tokens
}

// provenUser is one who gave the right password.
type provenUser struct{ bearer }

// Fingerprint implements service.Fingerprinter.
func (p provenUser) Fingerprint() string { return string(p.user.ID) }

// authenticated takes the same steps for an unknown address and for a wrong
// password, and refuses both in the same words.
func (i *identity) authenticated(ctx context.Context, c command.LogIn, who eventlog.Actor) (provenUser, error) {
	try := guess{i.realm.userIDs(c.Email)[0], who.ClientNetwork} // before anything is asked of the log
	leave, err := i.guard.try(ctx, try)
	if err != nil {
		return provenUser{}, err
	}
	defer leave()
	id, u, err := i.holder(ctx, c.Email)
	if err != nil {
		return provenUser{}, err
	}
	ok, err := i.passwords.match(ctx, u.passwordHash, c.Password, i.realm.salt(id))
	switch {
	case err == nil && !ok:
		i.guard.wrong(try)
		err = errs.New(errs.Unauthenticated, "email or password is wrong")
	case err == nil:
		i.guard.right(try)
	}
	return provenUser{i.bearer(ctx, u)}, err
}

// renewal is a user who showed a refresh token of a session of theirs.
type renewal struct {
	bearer
	token refreshToken
}

// Fingerprint implements service.Fingerprinter.
func (r renewal) Fingerprint() string {
	return string(r.token.session) + "." + strconv.Itoa(r.token.n)
}

// renewed looks the session's user up anew, whose roles may have changed.
func (i *identity) renewed(ctx context.Context, c command.RefreshSession, who eventlog.Actor) (renewal, error) {
	token, err := i.realm.read(c.RefreshToken)
	if err == nil {
		err = i.guard.move(token.session, who.ClientNetwork)
	}
	if err != nil {
		return renewal{}, err
	}
	var of events.UserID
	if err := i.sessions.Peek(ctx, string(token.session), func(s session) { of = s.user }); err != nil {
		return renewal{}, err
	}
	if of == "" {
		return renewal{}, badToken()
	}
	u, err := i.look(ctx, of)
	return renewal{i.bearer(ctx, u), token}, err
}

func (i *identity) refreshed(_ context.Context, c command.RefreshSession) (string, error) {
	token, err := i.realm.read(c.RefreshToken)
	return string(token.session), err
}

// leaving lets somebody log out; there is nothing to know about it.
func (i *identity) leaving(_ context.Context, c command.LogOut, who eventlog.Actor) (none struct{}, err error) {
	token, err := i.realm.read(c.RefreshToken)
	if err == nil {
		err = i.guard.move(token.session, who.ClientNetwork)
	}
	return none, err
}

func (i *identity) loggedOut(_ context.Context, c command.LogOut) (string, error) {
	token, err := i.realm.read(c.RefreshToken)
	return string(token.session), err
}

// acting is who sends a command, as they are now.
func (i *identity) acting(ctx context.Context, _ command.SetRoles, who eventlog.Actor) (user, error) {
	return i.actor(ctx, who)
}

// actor is who sends a message, as they are now: their token says how they were
// when it was signed. It is nobody when the sender is no user.
func (i *identity) actor(ctx context.Context, who eventlog.Actor) (user, error) {
	if !events.IsToken(who.ID) {
		return user{}, nil
	}
	return i.look(ctx, events.UserID(who.ID))
}

// look is a user as they are now; nobody has no id and no hash.
func (i *identity) look(ctx context.Context, id events.UserID) (found user, err error) {
	err = i.users.Peek(ctx, string(id), func(u user) {
		found = u
		found.Roles = slices.Clone(u.Roles) // the state itself must not be kept
	})
	return found, err
}
