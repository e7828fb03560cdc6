// Package identity says who is who: accounts and their roles, sessions, and
// the keys that access tokens are verified with. It alone reads its stream,
// which holds personal data and the shop's secrets.
package identity

import (
	"cmp"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Config names the shop's first administrator, who is appointed at the first
// start; at all later ones it changes nothing.
type Config struct {
	AdminEmail string // "" means admin@lonja.local
	// AdminPassword may be empty: then a random one is made, and told to
	// Announce once the account is recorded. It is told at most once: a process
	// that is killed between the two takes it along.
	AdminPassword string
	Announce      func(email, password string)
	// Ignored, which may be nil, is told at a later start when AdminPassword is not
	// the administrator's, whose address it gets: that one's stays.
	Ignored func(email string)

	derive keyDerivation // nil means Argon2id
}

// Check holds the first administrator to what is asked of every user. The error
// is an events.FieldError about "email" or "password".
func (c Config) Check() error {
	return command.RegisterUser{
		Name: adminName, Email: cmp.Or(c.AdminEmail, adminEmail), Password: cmp.Or(c.AdminPassword, "one will be made"),
	}.Check()
}

const (
	adminName  = "Administrator"
	adminEmail = "admin@lonja.local"
)

// identity is what the parts of the service share.
type identity struct {
	Config
	users     *decider.Decider[user]
	sessions  *decider.Decider[session]
	realms    *decider.Decider[realm]
	accounts  *projection.View
	passwords passwords
	guard     *guard

	// Set by prepare, before anything is served.
	realm  realm
	keysAt projection.Token // where the realm's key stands in the log
}

// New is the identity service: all that it does. It panics when there is
// neither a password for the first administrator nor anyone to tell it to.
func New(config Config) *service.Service { return build(config).service() }

func build(config Config) *identity {
	if config.AdminPassword == "" && config.Announce == nil {
		panic("identity: without AdminPassword, Announce is required")
	}
	config.AdminEmail = cmp.Or(config.AdminEmail, adminEmail)
	hashing := newPasswords(config.derive)
	return &identity{
		Config:    config,
		users:     decider.New(userKind),
		sessions:  decider.New(sessionKind),
		realms:    decider.New(realmKind),
		accounts:  projection.New(accountsDefinition),
		passwords: hashing,
		guard:     newGuard(hashing.within),
	}
}

func (i *identity) service() *service.Service {
	return &service.Service{
		Name:     "identity",
		Deciders: []service.Binder{i.realms},
		Prepare:  i.prepare,
		Views:    []*projection.View{i.accounts},
		Commands: []service.Command{
			service.HandleWithActor(i.users, i.hashed, register).Target(i.applicant).UniqueIn(i.accounts), // what is known replies
			service.HandleWithActor(i.users, i.acting, setRoles).Reply(show),
			service.HandleWithActor(i.sessions, i.authenticated, logIn),
			service.HandleWithActor(i.sessions, i.renewed, refresh).Target(i.refreshed),
			service.HandleWithActor(i.sessions, i.leaving, logOut).Target(i.loggedOut),
			service.HandleWith(i.users, i.rehashed, resetPassword).Target(i.resetting).Reply(show).ForOperators(),
		},
		Reactions: []service.Reaction{{Consumer: "identity-on-identity", Handlers: []service.Handler{
			service.Revoke(func(e events.UserRolesChanged) string { return string(e.UserID) }),
			service.Revoke(func(e events.UserPasswordChanged) string { return string(e.UserID) }),
			service.Revoke(func(e events.SessionEnded) string { return string(e.UserID) }),
		}}},
		Queries: []service.Query{
			service.Answer(i.accounts, i.findUser).About(userKind.Stream, func(q query.User) string { return userKind.Filter(string(q.UserID)) }),
			service.Answer(i.accounts, i.listUsers),
			service.Answer(i.accounts, i.listKeys),
			service.Answer(i.accounts, i.writeTicket),
		},
	}
}
