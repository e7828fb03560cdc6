package seed

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
)

// accountID returns the id of account n.
func accountID(seed uint64, n int) events.UserID {
	return events.UserID(eventlog.NewEntityID("usr_", eventlog.DeriveID("seed", fmt.Sprint(seed), "account", fmt.Sprint(n))))
}

// recordAccount records account n. Nobody can log in to it, since its hash is of no password.
func (s *Seeder) recordAccount(ctx context.Context, n int) error {
	email := fmt.Sprintf("person%d@seed.example", n)
	address := addressOf(s.secret, email)
	b64 := base64.RawStdEncoding.EncodeToString
	sum := sha256.Sum256([]byte(email))
	command := eventlog.DeriveID(eventlog.DeriveID("http", "", "POST /api/auth/register", "seed/"+email), email)
	return s.w.register(ctx, command, s.state.Began.Add(-time.Duration(s.state.Accounts-n)*time.Minute), events.UserEmailClaimed{
		EmailID: address, UserID: accountID(s.state.Seed, n), Email: email, Name: fmt.Sprintf("Person %d", n), Roles: []string{events.Customer},
		PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$" + b64(mac(s.secret, "salt", string(address))[:16]) + "$" + b64(sum[:])})
}

// register records that an address is claimed for a new account, and the account.
func (w *writer) register(ctx context.Context, command string, at time.Time, claimed events.UserEmailClaimed) error {
	hash := eventlog.HashBody([]byte(claimed.Name + "\x00" + claimed.Email + "\x00" + claimed.PasswordHash))
	first, err := w.record(ctx, cause{id: command, unique: true, at: at, hash: hash}, claimed)
	if err != nil {
		return err
	}
	_, err = w.record(ctx, reaction("identity-on-identity", first, at), events.UserRegistered{UserID: claimed.UserID, Name: claimed.Name, Email: claimed.Email,
		PasswordHash: claimed.PasswordHash, Roles: claimed.Roles, EmailID: claimed.EmailID})
	w.forget("user", string(claimed.UserID))
	w.forget("user", string(claimed.EmailID))
	return err
}

// addressOf returns the entity of an email address, which identity derives with its secret.
func addressOf(secret []byte, email string) events.UserID {
	return events.UserID("usr_" + hex.EncodeToString(mac(secret, "user", command.EmailKeys(strings.ToLower(email))[0])[:16]))
}

func mac(key []byte, purpose, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose + "\x00" + text))
	return h.Sum(nil)
}

// readSecret returns the secret of the shop's identity service.
func (s *Seeder) readSecret(ctx context.Context) ([]byte, error) {
	stream, err := s.js.Stream(ctx, "IDENTITY")
	if err != nil {
		return nil, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, events.Subject(events.RealmOpened{}))
	if err != nil {
		return nil, fmt.Errorf("the shop has not been started yet: %w", err)
	}
	r := s.w.log.Decode("IDENTITY", m.Sequence, m.Subject, m.Header, m.Data)
	opened, ok := r.Event.(events.RealmOpened)
	if !ok || opened.Withheld {
		return nil, fmt.Errorf("the secret of identity cannot be read: %w", r.Err)
	}
	return opened.Secret, nil
}
