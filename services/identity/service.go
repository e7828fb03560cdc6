// Package identity is the service that owns the accounts: users and their roles, their
// sessions, and the keys that access tokens are signed with.
//
// It records on the stream IDENTITY, which holds personal data and secrets and which no
// other service may read, and reacts only to its own events. It guarantees:
//
//   - An email address has one account, however it is written. An account's id follows from
//     the address by a keyed hash, so the conditional append keeps two people from
//     registering the same one.
//   - Passwords are stored as Argon2id hashes, refresh tokens as SHA-256. Neither is in a
//     view, a log line or a header.
//   - A refresh token is used once; a repeat within 30 seconds gets the same successor. When
//     an older token comes again, the session ends.
//   - After a logout, a theft, or a change of roles or of the password, the access tokens
//     signed before are revoked, also when the service was down in between.
//   - Unknown addresses and wrong passwords get the same answer after the same work.
//     Guessing is slowed down and never locks an account.
//
// Package catalog describes the files. Besides those, prepare.go creates the issuer and the
// first administrator, tokens.go writes tokens, passwords.go hashes passwords, and
// throttle.go and hashqueue.go bound how many are tried and hashed.
package identity

import (
	"cmp"
	"slices"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Config names the shop's first administrator, who is registered at the first start. Later
// starts change nothing about them.
type Config struct {
	AdminEmail string // "" means admin@lonja.local
	// AdminPassword is the first administrator's password. When it is empty, a random one
	// is generated and passed to Announce.
	AdminPassword string
	// Announce receives the generated password once the account is recorded; it is required
	// when AdminPassword is empty. It is called at most once in the life of the shop: the
	// password is lost when the process is killed in between.
	Announce func(email, password string)
	// Ignored, which may be nil, is called at a later start when AdminPassword is not the
	// administrator's password. It gets their address; their password stays as it is.
	Ignored func(email string)

	derive keyDerivation // nil means Argon2id
}

// Check checks the first administrator as any user who registers. The error is an
// *events.FieldError about "email" or "password".
func (c Config) Check() error {
	return command.RegisterUser{
		Name: adminName, Email: cmp.Or(c.AdminEmail, adminEmail), Password: cmp.Or(c.AdminPassword, "one is generated"),
	}.Check()
}

const (
	adminName  = "Administrator"
	adminEmail = "admin@lonja.local"
)

// identity is what the parts of the service share.
type identity struct {
	Config
	users        *decider.Decider[user]
	sessions     *decider.Decider[session]
	issuers      *decider.Decider[issuer] // there is one, events.RealmID
	accountsView *projection.View
	passwords    passwords
	throttle     *throttle

	// Set by prepare, before the service serves anything.
	issuer issuer
	keysAt projection.Token // the position of the issuer's first key
}

// New returns an identity service that has not started. It runs once. It panics when config
// has neither AdminPassword nor Announce.
func New(config Config) *service.Service { return build(config).service() }

func build(config Config) *identity {
	if config.AdminPassword == "" && config.Announce == nil {
		panic("identity: without AdminPassword, Announce is required")
	}
	config.AdminEmail = cmp.Or(config.AdminEmail, adminEmail)
	passwords := newPasswords(config.derive)
	return &identity{
		Config:       config,
		users:        decider.New(userType),
		sessions:     decider.New(sessionType),
		issuers:      decider.New(issuerType),
		accountsView: projection.New(accountsDefinition),
		passwords:    passwords,
		throttle:     newThrottle(passwords.capacity),
	}
}

func (i *identity) service() *service.Service {
	return &service.Service{
		Name:     "identity",
		Deciders: []service.AnyDecider{i.issuers},
		OnStart:  i.prepare,
		Views:    []*projection.View{i.accountsView},
		Commands: []service.Command{
			service.HandleWithActor(i.users, i.lookUpAccount, register).Target(i.registerTarget).UniqueIDIn(i.accountsView), // account replies
			service.HandleWithActor(i.users, i.lookUpActing, setRoles).Reply(reply),
			service.HandleWithActor(i.sessions, i.lookUpLogin, logIn), // authenticated replies
			service.HandleWithActor(i.sessions, i.lookUpRenewal, refresh).Target(i.refreshTarget),
			service.HandleWithActor(i.sessions, i.lookUpLogOut, logOut).Target(i.logOutTarget),
			service.HandleWith(i.users, i.lookUpNewHash, resetPassword).Target(i.resetTarget).Reply(reply).OperatorsOnly(),
		},
		Reactions: []service.Reaction{{Consumer: "identity-on-identity", Handlers: []service.Handler{
			service.RevokeTokens(func(e events.UserRolesChanged) string { return string(e.UserID) }),
			service.RevokeTokens(func(e events.UserPasswordChanged) string { return string(e.UserID) }),
			service.RevokeTokens(func(e events.SessionEnded) string { return string(e.UserID) }),
		}}},
		Queries: []service.Query{
			service.Answer(i.accountsView, i.findUser).ForEntity(userType.Stream, func(q query.User) string { return userType.Filter(string(q.UserID)) }),
			service.Answer(i.accountsView, i.listUsers),
			service.Answer(i.accountsView, i.listKeys),
			service.Answer(i.accountsView, i.signTicket),
		},
	}
}

// reply is the answer to a command about an account: the account after it.
func reply(u user, _ events.Event) any {
	u.Roles = slices.Clone(u.Roles)
	return u.UserView
}
