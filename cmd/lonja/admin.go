package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	cmd "lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

type adminCommand struct {
	Password adminPasswordCommand `cmd:"" help:"Give the first administrator, or somebody else, a new password. It ends all their sessions. The shop must be running."`
}

type adminPasswordCommand struct {
	connection
	Email        string `help:"Address of the account; without it, the first administrator's."`
	PasswordFile string `help:"File that holds the new password; without it, LONJA_PASSWORD in the environment does, or it is asked for." type:"path"`
}

// resetting is how long identity has to answer.
const resetting = 10 * time.Second

// Run sends the new password to identity.
func (c *adminPasswordCommand) Run(ctx context.Context) error {
	password, err := c.password()
	if err != nil {
		return err
	}
	nc, err := c.connect("lonja admin password")
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, resetting)
	defer cancel()
	reply, err := bus.NewClient(nc).Send(ctx, cmd.ResetPassword{Email: c.Email, Password: password},
		eventlog.Envelope{Actor: eventlog.Actor{ID: "service:" + operator}})
	if errors.Is(err, bus.ErrNoService) {
		return fmt.Errorf("identity does not answer at %s: start the shop, or the service identity, first", c.where())
	}
	if err != nil {
		return err
	}
	var of query.UserView
	if err := json.Unmarshal(reply.Body, &of); err != nil {
		return fmt.Errorf("an answer that makes no sense: %w", err)
	}
	fmt.Printf("admin     %s has a new password; all sessions before it are over\n", of.Email)
	return nil
}

// password is the new one. It is no flag: everybody on a machine sees those.
func (c *adminPasswordCommand) password() (string, error) {
	if c.PasswordFile != "" {
		password, err := secretIn(c.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("--password-file: %w", err)
		}
		return password, nil
	}
	if password := os.Getenv("LONJA_PASSWORD"); password != "" {
		return password, nil
	}
	terminal := int(os.Stdin.Fd())
	if !term.IsTerminal(terminal) {
		return "", errors.New("there is no password: give --password-file or LONJA_PASSWORD, or run this in a terminal")
	}
	first, err := ask(terminal, "new password: ")
	if err != nil {
		return "", err
	}
	second, err := ask(terminal, "once more:    ")
	if err == nil && first != second {
		err = errors.New("the two are not the same; nothing was changed")
	}
	return first, err
}

// ask reads a password that is not shown.
func ask(terminal int, prompt string) (string, error) {
	fmt.Fprint(os.Stderr, prompt)
	said, err := term.ReadPassword(terminal)
	fmt.Fprintln(os.Stderr)
	return string(said), err
}
