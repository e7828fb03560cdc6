package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/keyring"
)

// openKEKs reads the file of key-encryption keys of a shop with a log of its own, and makes
// the file at the first start. It fails when the file is not the one that the shop's keys
// were wrapped by: another one would be of no use, and must not be taken for the right one.
func (c *upCommand) openKEKs(ctx context.Context, at connection) (keks *keyring.KEKs, err error) {
	file := cmp.Or(c.KEKFile, filepath.Join(c.Data, "kek"))
	err = at.withJetStream(ctx, "lonja up", func(js jetstream.JetStream) error {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			used, err := keyring.Used(ctx, js)
			if err != nil {
				return err
			}
			if used {
				return fmt.Errorf("--kek-file: there is no %s, but the data holds what its keys have encrypted; put the file back from its backup", file)
			}
		}
		if err := createKEKs(file); err != nil {
			return err
		}
		if keks, err = loadKEKs(file); err != nil {
			return err
		}
		if err := keyring.New(js, keks).Check(ctx); err != nil {
			return fmt.Errorf("--kek-file: %w", err)
		}
		warnIfExposed(keks)
		return nil
	})
	return keks, err
}

// warnIfExposed logs that the file of key-encryption keys has a careless mode. That is no
// reason to stop: who mounts a file may not be free to choose its mode.
func warnIfExposed(keks *keyring.KEKs) {
	if keks.Exposed() {
		slog.Warn("the file of key-encryption keys may be read by others, or changed by others than its owner; only identity and the operator need it: chmod 0600, or 0640 for a group", "file", keks.Path())
	}
}

func createKEKs(file string) error {
	made, err := keyring.CreateKEKs(file)
	if err != nil {
		return fmt.Errorf("--kek-file: %w", err)
	}
	if made {
		fmt.Println("kek      ", file, "(made now: back it up apart from the data; without it nobody can log in, and names and addresses are lost)")
	}
	return nil
}

// loadKEKs reads the file of key-encryption keys.
func loadKEKs(file string) (*keyring.KEKs, error) {
	keks, err := keyring.LoadKEKs(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--kek-file: %w: give the file that all replicas have; lonja keys create makes the first one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("--kek-file: %w", err)
	}
	return keks, nil
}

// usableKEKs checks that a file of key-encryption keys can be read, or can be made.
func usableKEKs(file string) error {
	if _, err := os.Stat(file); err == nil {
		_, err = loadKEKs(file)
		return err
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return fmt.Errorf("--kek-file must be in a folder that exists; %s is none", filepath.Dir(file))
	}
	return nil
}

// sealed returns the services among names that have sealed events.
func (c *serviceCommand) sealed() []string {
	services := c.services()
	return slices.DeleteFunc(slices.Clone(c.Names), func(name string) bool { return !services[name]().Sealed })
}

// checkKEKFile checks that the flag is there if a service needs it.
func (c *serviceCommand) checkKEKFile() error {
	if sealed := c.sealed(); len(sealed) > 0 && c.KEKFile == "" {
		return fmt.Errorf("--kek-file is required for %s: give the file of key-encryption keys that all replicas have (up makes it in its data folder, lonja keys create elsewhere)", strings.Join(sealed, ", "))
	}
	return nil
}

// loadKEKs reads the key-encryption keys if a service needs them.
func (c *serviceCommand) loadKEKs() (err error) {
	if c.keks != nil || len(c.sealed()) == 0 {
		return nil
	}
	if c.keks, err = loadKEKs(c.KEKFile); err != nil {
		return err
	}
	warnIfExposed(c.keks)
	return nil
}

type keysCreateCommand struct {
	KEKFile string `name:"kek-file" help:"The file. Its folder must exist." required:"" type:"path"`
}

// Run makes the file.
func (c *keysCreateCommand) Run() error {
	if _, err := os.Stat(c.KEKFile); err == nil {
		fmt.Println("kek      ", c.KEKFile, "(kept)")
	}
	return createKEKs(c.KEKFile)
}

// Validate checks the file.
func (c *keysCreateCommand) Validate() error { return usableKEKs(c.KEKFile) }
