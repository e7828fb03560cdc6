package httpapi

import (
	"errors"
	"net"
	"net/url"
)

// CheckOrigin makes sure that a PublicURL is an origin, or "". The error says
// what it must be.
func CheckOrigin(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || s != u.Scheme+"://"+u.Host {
		return errors.New("must be an origin such as https://www.example: no path, no user, no slash at the end")
	}
	return nil
}

// isLoopback reports whether a Host is a loopback's, with a port or without.
func isLoopback(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
