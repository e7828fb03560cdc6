package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
)

type keysDestroyCommand struct {
	connection
	Owner string `arg:"" help:"Whose key, as the error names it: a user, usr_…, or a signing key, key_…."`
	Yes   bool   `help:"Confirm that what the key sealed is lost for good."`
	Force bool   `help:"Destroy a user's key although KEYS has it, because it is damaged or the key-encryption key is lost. To erase a user, use the shop instead: DELETE /api/users/{id}."`
}

// Run destroys a key that is lost, so that views no longer wait for it. It may be repeated.
func (c *keysDestroyCommand) Run(ctx context.Context) error {
	if err := c.permitted(); err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja keys destroy", func(js jetstream.JetStream) error {
		sealed, err := countSealed(ctx, js, c.Owner)
		if err != nil {
			return err
		}
		if sealed == 0 {
			return fmt.Errorf("no event is sealed for %q: give the owner as the error names it", c.Owner)
		}
		if !c.Yes {
			return fmt.Errorf("what %d events say about %s would be lost for good; if no backup of %s has the key, confirm it with --yes", sealed, c.Owner, keyring.Stream)
		}
		ring := keyring.New(js, nil)
		if c.Force {
			err = ring.Destroy(ctx, c.Owner)
		} else {
			err = ring.GiveUp(ctx, c.Owner)
		}
		if errs.Is(err, errs.Conflict) {
			return c.present(err)
		}
		if err != nil {
			return fmt.Errorf("%w; run the command again", err)
		}
		fmt.Printf("the key of %s is destroyed; what it sealed in %d events is withheld from now on\n", c.Owner, sealed)
		return nil
	})
}

// permitted returns an error for a key that must not be destroyed, whatever the flags.
func (c *keysDestroyCommand) permitted() error {
	switch {
	case c.Owner == events.RealmOpened{}.KeyOwner():
		return fmt.Errorf("the key of %s seals the secret of the shop, without which nobody can log in: restore %s from a backup that has it", c.Owner, keyring.Stream)
	case c.Force && !c.isUser():
		return errors.New("--force is for the keys of users; a signing key is replaced with lonja keys rotate signing, and identity destroys it when nobody needs it any more")
	}
	return nil
}

func (c *keysDestroyCommand) isUser() bool { return strings.HasPrefix(c.Owner, "usr_") }

// present is the error for a key that the stream has.
func (c *keysDestroyCommand) present(err error) error {
	if c.isUser() {
		return fmt.Errorf("%w, so it is not lost: erase the user with DELETE /api/users/%s, or give --force if the key is damaged or its key-encryption key is lost", err, c.Owner)
	}
	return fmt.Errorf("%w, so it is not lost: replace it with lonja keys rotate signing", err)
}

// countSealed counts the events in which something is sealed by an owner's key.
func countSealed(ctx context.Context, js jetstream.JetStream, owner string) (n int, err error) {
	err = readIdentity(ctx, js, "events.>", func(r eventlog.Record) {
		if of, is := r.Event.(eventlog.KeyOwner); is && eventCodec.Sealed(r.Type) != nil && of.KeyOwner() == owner {
			n++
		}
	})
	return n, err
}
