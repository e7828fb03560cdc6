package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	cmd "lonja/events/command"
	"lonja/events/query"
)

type adminCommand struct {
	Password adminPasswordCommand `cmd:"" help:"Set a new password for the first administrator or for another account. It ends all sessions of the account. The shop must be running."`
}

type adminPasswordCommand struct {
	connection
	Email        string `help:"Email address of the account. Default: the first administrator."`
	PasswordFile string `help:"File that holds the new password. Default: LONJA_PASSWORD in the environment, or a prompt." type:"path"`
}

// Run sends the new password to identity.
func (c *adminPasswordCommand) Run(ctx context.Context) error {
	password, err := c.password()
	if err != nil {
		return err
	}
	client, err := c.connectAsClient("lonja admin password")
	if err != nil {
		return err
	}
	defer client.close()
	reply, err := client.send(ctx, "identity", cmd.ResetPassword{Email: c.Email, Password: password})
	if err != nil {
		return err
	}
	var user query.UserView
	if err := json.Unmarshal(reply.Body, &user); err != nil {
		return fmt.Errorf("identity sent an invalid answer: %w", err)
	}
	fmt.Printf("admin     %s has a new password; all earlier sessions have ended\n", user.Email)
	return nil
}

// password returns the new password. There is no flag for it, because every user of
// a machine can see the flags of a process.
func (c *adminPasswordCommand) password() (string, error) {
	if c.PasswordFile != "" {
		password, err := readSecret(c.PasswordFile)
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
		return "", errors.New("no password given: use --password-file or LONJA_PASSWORD, or run this command in a terminal")
	}
	first, err := readPassword(terminal, "new password: ")
	if err != nil {
		return "", err
	}
	second, err := readPassword(terminal, "repeat it:    ")
	if err == nil && first != second {
		err = errors.New("the two passwords differ; nothing was changed")
	}
	return first, err
}

// readPassword reads a password without showing it.
func readPassword(terminal int, prompt string) (string, error) {
	fmt.Fprint(os.Stderr, prompt)
	password, err := term.ReadPassword(terminal)
	fmt.Fprintln(os.Stderr)
	return string(password), err
}
