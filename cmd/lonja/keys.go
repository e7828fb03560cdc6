package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	cmd "lonja/events/command"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/services/identity"
)

type keysCommand struct {
	Create    keysCreateCommand  `cmd:"" help:"Make a file with a new key-encryption key, unless there is one. It encrypts the keys of everything that identifies a person, so back it up apart from the data."`
	List      keysListCommand    `cmd:"" help:"List the keys that sign access tokens, and the key-encryption keys, which wrap all others. It shows no secrets."`
	Rotate    keysRotateCommand  `cmd:"" help:"Replace keys while the shop runs."`
	ForgetKEK forgetKEKCommand   `cmd:"" name:"forget-kek" help:"Remove the key-encryption keys that are not needed any more from the file: all but the first. It fails while one of them wraps a key."`
	Destroy   keysDestroyCommand `cmd:"" help:"Give up what was sealed for an owner whose key is lost, when no backup of KEYS has it. Until then, views wait at the owner's first event. It cannot be undone."`
	Seal      keysSealCommand    `cmd:"" help:"Seal the accounts and the signing key that an earlier version recorded in plain text. The shop must be running, and every replica of identity must have this version."`
}

type keysRotateCommand struct {
	KEK     rotateKEKCommand     `cmd:"" name:"kek" help:"Wrap all keys by the first key-encryption key of the file. It can be interrupted and run again, and the shop may run meanwhile."`
	Signing rotateSigningCommand `cmd:"" help:"Add a key that signs access tokens. It signs some minutes later, when everybody who verifies tokens has it; tokens of earlier keys stay valid until they expire. From then on identity adds keys by itself, see --signing-key-age. Every replica of identity must have this version."`
}

type keysListCommand struct {
	connection
	KEKFile string `name:"kek-file" help:"File of the key-encryption keys, to be compared with those that are in use." type:"path"`
}

// Validate checks the file.
func (c *keysListCommand) Validate() error {
	if c.KEKFile == "" {
		return c.connection.Validate()
	}
	return validKEKs(c.KEKFile, c.connection)
}

// Run lists the signing keys, oldest first, and the key-encryption keys.
func (c *keysListCommand) Run(ctx context.Context) error {
	return c.withJetStream(ctx, "lonja keys list", func(js jetstream.JetStream) error {
		signing, err := signingKeys(ctx, js)
		if err != nil {
			return err
		}
		rows := [][]string{{"SIGNING KEY", "SIGNS SINCE", "STATE"}}
		for _, k := range signing {
			state := string(k.State)
			if k.Plain {
				state += ", recorded in plain text by an earlier version"
			}
			rows = append(rows, []string{k.ID, k.ActiveAt.Local().Format(time.DateTime), state})
		}
		if err := writeTable(os.Stdout, rows); err != nil {
			return err
		}
		fmt.Println()
		return printKEKs(ctx, js, c.KEKFile)
	})
}

type rotateSigningCommand struct{ connection }

// Run has identity add a key.
func (c *rotateSigningCommand) Run(ctx context.Context) error {
	client, err := c.connectAsClient("lonja keys rotate signing")
	if err != nil {
		return err
	}
	defer client.close()
	return client.rotateSigning(ctx)
}

// rotateSigning has identity add a key, and prints it.
func (c *operatorClient) rotateSigning(ctx context.Context) error {
	reply, err := c.send(ctx, "identity", cmd.RotateKey{})
	if err != nil {
		return err
	}
	var added query.SigningKey
	if err := json.Unmarshal(reply.Body, &added); err != nil {
		return fmt.Errorf("identity sent an invalid answer: %w", err)
	}
	fmt.Printf("key %s signs access tokens from %s on, in %v\n", added.KeyID,
		added.ActiveAt.Local().Format(time.DateTime), time.Until(added.ActiveAt).Round(time.Second))
	return nil
}

type keysSealCommand struct{ connection }

// Run seals what is in plain text. It may be interrupted and run again.
func (c *keysSealCommand) Run(ctx context.Context) error {
	client, err := c.connectAsClient("lonja keys seal")
	if err != nil {
		return err
	}
	defer client.close()
	accounts, err := plainAccounts(ctx, client.js)
	if err != nil {
		return err
	}
	printed := time.Now()
	for n, id := range accounts {
		if _, err := client.send(ctx, "identity", cmd.SealUser{UserID: id}); err != nil {
			return fmt.Errorf("%w; %d of %d accounts are sealed, run the command again for the others", err, n, len(accounts))
		}
		if time.Since(printed) > keyProgress {
			printed = time.Now()
			fmt.Printf("%d of %d accounts are sealed\n", n+1, len(accounts))
		}
	}
	fmt.Printf("%d accounts are sealed now; none is left\n", len(accounts))
	signing, err := signingKeys(ctx, client.js)
	if err != nil {
		return err
	}
	plain := len(signing) > 0 && signing[len(signing)-1].Plain
	if plain {
		err = client.rotateSigning(ctx)
	} else {
		fmt.Println("the newest signing key is sealed already")
	}
	if err == nil && (plain || len(accounts) > 0) {
		fmt.Println("Their plain text stays in the log, from which nothing is ever deleted, and in its backups: lonja rewrite-log makes a log without it.")
	}
	return err
}

// signingKeys reads the keys that sign access tokens from the log, oldest first.
func signingKeys(ctx context.Context, js jetstream.JetStream) ([]identity.SigningKey, error) {
	var recorded []eventlog.Record
	err := readIdentity(ctx, js, "events.realm."+events.RealmID+".>", func(r eventlog.Record) { recorded = append(recorded, r) })
	return identity.SigningKeys(recorded, time.Now()), err
}

// plainAccounts reads from the log which accounts an earlier version recorded in plain text
// and nobody has sealed or erased since, oldest first.
func plainAccounts(ctx context.Context, js jetstream.JetStream) ([]events.UserID, error) {
	var inOrder []events.UserID
	plain := map[events.UserID]bool{}
	err := readIdentity(ctx, js, "events.user.>", func(r eventlog.Record) {
		if r.Event == nil {
			return
		}
		id := events.UserID(r.Event.EntityID())
		switch r.Event.(type) {
		case events.UserRegistered, events.UserPasswordChanged:
			if r.Type == events.Type(r.Event) { // of this version
				return
			}
			if _, seen := plain[id]; !seen {
				inOrder = append(inOrder, id)
			}
			plain[id] = true
		case events.UserSealed, events.UserErased:
			plain[id] = false
		}
	})
	var left []events.UserID
	for _, id := range inOrder {
		if plain[id] {
			left = append(left, id)
		}
	}
	return left, err
}

// readIdentity reads the events of identity on a subject filter, without what is sealed.
func readIdentity(ctx context.Context, js jetstream.JetStream, filter string, handle func(eventlog.Record)) error {
	const stream = "IDENTITY"
	log := eventlog.New(js, eventCodec)
	last, err := log.Last(ctx, stream, filter)
	if err == nil {
		err = log.Load(ctx, stream, filter, 0, last, handle)
	}
	return err
}
