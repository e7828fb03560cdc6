// Package identity is the service that owns the accounts: users and their roles, their
// sessions, and the keys that access tokens are signed with.
//
// It records on the streams IDENTITY, which holds personal data and secrets, and SESSIONS, which
// keeps the events of a session for as long as it can last. No other service may read them, and
// it reacts only to its own events. It guarantees:
//
//   - An email address has one account, however it is written. The address is an entity of its
//     own, whose id is a keyed hash of it, and an account claims it by a conditional append.
//     Accounts have random ids, but for those of earlier versions and the first
//     administrator's, which are their address's entity themselves.
//   - What takes several events, such as a change of address, is completed by reactions,
//     wherever it was interrupted.
//   - What events hold of a person is sealed with a key of their own. After an erasure it can
//     never be read again, and no command that is repeated shows it.
//   - Passwords are stored as Argon2id hashes, refresh tokens as SHA-256. Neither is in a
//     view, a log line or a header.
//   - A refresh token is used once; a repeat within 30 seconds gets the same successor. When
//     an older token comes again, the session ends.
//   - After an erasure, or a change of roles or of the password, the access tokens signed before
//     are revoked, and after a logout or a theft those of the session, also when the service was
//     down in between.
//   - Unknown addresses and wrong passwords get the same answer after the same work.
//     Guessing is slowed down and never locks an account.
//
// Package catalog describes the files. Besides those, address.go holds the entity of an
// address with its decisions and session.go the state of a session; registration.go, login.go and account.go look up what commands
// need to register, to hold sessions, and to change accounts. history.go reads what was recorded
// about a person, for their export. prepare.go creates the issuer and
// the first administrator, tokens.go writes tokens, keys.go knows what each of their keys does
// at a time, rotation.go replaces these keys, passwords.go hashes passwords, and throttle.go
// and hashqueue.go bound how many are tried and hashed.
package identity

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/keyring"
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

	// SigningKeyAge is how long a key signs access tokens before the service adds another; 0
	// means until an operator does. It has no effect while the newest key is one that an earlier
	// version recorded.
	SigningKeyAge time.Duration

	derive keyDerivation    // nil means Argon2id
	now    func() time.Time // nil means time.Now
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
	addresses    *decider.Decider[address] // on the same subjects as users
	sessions     *decider.Decider[session]
	beginnings   beginnings               // of new sessions
	issuers      *decider.Decider[issuer] // there is one, events.RealmID
	accountsView *projection.View
	passwords    passwords
	throttle     *throttle

	// Set by prepare, before the service serves anything.
	issuer    issuer
	known     atomic.Pointer[knownKeys] // tendKeys keeps them up to date
	forgotten sync.Map                  // the ids of retired keys that this replica has destroyed
}

// New returns an identity service that has not started. It runs once. It panics when config
// has neither AdminPassword nor Announce.
func New(config Config) *service.Service { return build(config).service() }

func build(config Config) *identity {
	if config.AdminPassword == "" && config.Announce == nil {
		panic("identity: without AdminPassword, Announce is required")
	}
	config.AdminEmail = cmp.Or(config.AdminEmail, adminEmail)
	passwords, accountsView := newPasswords(config.derive), projection.New(accountsDefinition)
	i := &identity{
		Config:       config,
		users:        decider.New(userType).RememberIn(accountsView),
		addresses:    decider.New(addressType),
		issuers:      decider.New(issuerType),
		accountsView: accountsView,
		passwords:    passwords,
		throttle:     newThrottle(passwords.capacity),
	}
	i.beginnings.introduced = i.accountsView.IsIntroduced
	sessions, former := sessionType, *sessionType.Former
	former.Used, sessions.Former = i.beginnings.former, &former
	i.sessions = decider.New(sessions)
	return i
}

func (i *identity) service() *service.Service {
	completeClaim := service.React(i.users, func(e events.UserEmailClaimed) string { return string(e.UserID) }, getAddress).Reply(reply)
	return &service.Service{
		Name:     "identity",
		Sealed:   true,
		Deciders: []service.AnyDecider{i.issuers},
		OnStart:  i.prepare,
		Upkeep:   i.keepUp,
		Views:    []*projection.View{i.accountsView},
		Commands: []service.Command{
			service.HandleWithActor(i.addresses, i.lookUpAccount, claim).Target(i.registerTarget).UniqueIDIn(i.accountsView).Then(onIdentity, completeClaim),
			service.HandleWithActor(i.addresses, i.lookUpEmailChange, claimAnother).Target(i.emailTarget).UniqueIDIn(i.accountsView).Then(onIdentity, completeClaim),
			service.HandleWithActor(i.users, i.lookUpProfile, changeProfile).Reply(reply),
			service.HandleWithActor(i.users, i.lookUpActing, setRoles).Reply(reply),
			service.HandleWithActor(i.users, i.lookUpErasure, erase),
			service.Handle(i.users, seal).Reply(reply).OperatorsOnly(),
			service.HandleWith(i.users, i.lookUpNewHash, resetPassword).Target(i.resetTarget).Reply(reply).OperatorsOnly(),
			service.HandleWith(i.issuers, i.lookUpSeed, rotateKey).Reply(newestKey).OperatorsOnly(),

			service.HandleWithActor(i.sessions, i.lookUpLogin, logIn), // authenticated replies
			service.HandleWithActor(i.sessions, i.lookUpRenewal, refresh).Target(i.refreshTarget),
			service.HandleWithActor(i.sessions, i.lookUpLogOut, logOut).Target(i.logOutTarget),
		},
		Reactions: []service.Reaction{{Consumer: onIdentity, Handlers: []service.Handler{
			completeClaim,
			service.React(i.addresses, func(e events.UserEmailChanged) string { return string(e.Previous) }, releasePrevious),
			service.React(i.addresses, func(e events.UserErased) string { return string(e.EmailID) }, releaseErased),
			service.RevokeTokens(func(e events.UserErased) string { return string(e.UserID) }),
			service.RevokeTokens(func(e events.UserRolesChanged) string { return string(e.UserID) }),
			service.RevokeTokens(func(e events.UserPasswordChanged) string { return string(e.UserID) }),
			service.RevokeTokens(func(e events.SessionEnded) string { return string(e.UserID) }),
		}}, {Consumer: "identity-on-sessions", Handlers: []service.Handler{
			service.RevokeSession(func(e events.LoginEnded) string { return string(e.SessionID) }),
		}}, {Consumer: "identity-erasures", Handlers: []service.Handler{
			service.DestroyKey(func(e events.UserErased) string { return string(e.UserID) }),
			service.Forget(func(e events.UserErased) bus.Owner {
				return bus.Owner{ID: string(e.UserID), Subjects: subjectsOf(e.UserID)}
			}),
		}}},
		Queries: []service.Query{
			service.Answer(i.accountsView, i.findUser).ForEntity(userType.Stream, func(q query.User) string { return userType.Filter(string(q.UserID)) }),
			service.Answer(i.accountsView, i.exportUser).ForEntity(userType.Stream, func(q query.UserExport) string { return userType.Filter(string(q.UserID)) }),
			service.Answer(i.accountsView, i.listUsers),
			service.Answer(nil, i.listKeys),
			service.Answer(i.accountsView, i.signTicket),
		},
	}
}

// keepUp replaces signing keys by age, and finds out where new sessions are recorded.
func (i *identity) keepUp(ctx context.Context, keys *keyring.Ring) error {
	return errors.Join(i.beginnings.check(ctx), i.tendKeys(ctx, keys))
}

// onIdentity is the consumer of identity's reactions to its own events, but for those to an
// erasure that wait.
const onIdentity = "identity-on-identity"

// reply is the answer to a command about an account: the account after it.
func reply(u user, _ events.Event) any { return u.view() }

// subjectsOf returns the subjects of a user's own events. The entity of an account of an
// earlier version is that of its address, too, which may have events about others.
func subjectsOf(id events.UserID) (subjects []string) {
	for _, e := range []events.Event{
		events.UserRegistered{UserID: id}, events.UserRolesChanged{UserID: id}, events.UserPasswordChanged{UserID: id},
		events.UserProfileChanged{UserID: id}, events.UserEmailChanged{UserID: id}, events.UserSealed{UserID: id}, events.UserErased{UserID: id},
	} {
		subjects = append(subjects, events.Subject(e))
	}
	return subjects
}
