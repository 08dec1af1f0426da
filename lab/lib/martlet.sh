# shellcheck shell=bash
install_martlet() { :; }
