#!/usr/bin/perl
# What the installed ldirectord's own checks say of real servers. Usage: stock_checks.pl /usr/sbin/ldirectord
# Each line of standard input is a number of seconds and the path of a file: all files are taken at the same time, each
# by a process of its own, which asks every real server of the file once, as the first round of the daemon does. Each
# line of standard output is a path and what came of it: the words of each call of service_set(), `died` and why, or
# `hangs` if it was still at it after so many seconds.
use strict;
use warnings;

use FindBin;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

require "$FindBin::Bin/../../config/ldirectord/program.pl";

load_program(shift or die "usage: stock_checks.pl PROGRAM\n");
our (@VIRTUAL, $CONFIG, $CFGNAME, $DAEMON_STATUS, $DAEMON_STATUS_STARTING, @messages);
$SIG{PIPE} = "IGNORE";    # as the daemon has it
$DAEMON_STATUS = $DAEMON_STATUS_STARTING;

my @states;
my $asking = 0;
{
	no warnings;
	*main::service_set = sub { push @states, $_[2] };
	*main::ld_exit = sub { POSIX::_exit($_[0]) if $$ != $asking; die "refused\n" };    # a program that is none
}

sub told {
	my ($path) = @_;
	($CONFIG, $CFGNAME) = ($path, "stock");
	my $read = eval { read_config(); ld_setup(); 1 };
	return "died " . join("; ", $@, map { $_->{text} } @messages) unless $read;
	my $asked = eval {
		for my $virtual (@VIRTUAL) {
			_check_real($virtual, $_) for @{ $virtual->{real} };
		}
		1;
	};
	return $asked ? join(" ", @states) : "died $@";
}

# The checks print on standard output: what they found goes into a file.
sub begin {
	my ($path) = @_;
	my $pid = fork() // die "fork: $!\n";
	return $pid if $pid;
	setpgrp();
	$asking = $$;
	open(STDOUT, '>', '/dev/null');
	my $told = told($path);
	$told =~ s/\s+/ /g;
	open(my $out, '>', "$path.told") or POSIX::_exit(1);
	print $out $told;
	close($out);
	POSIX::_exit(0);
}

sub found {
	my ($path) = @_;
	open(my $in, '<', "$path.told") or return "hangs";
	return <$in> // "";
}

my (%path, %until, @order);
while (my $line = <STDIN>) {
	chomp $line;
	my ($seconds, $path) = split(/ /, $line, 2);
	my $pid = begin($path);
	($path{$pid}, $until{$pid}) = ($path, time() + $seconds);
	push @order, $path;
}
while (%path) {
	for my $pid (keys %path) {
		my $late = time() >= $until{$pid};
		kill('KILL', -$pid) if $late;
		next unless waitpid($pid, $late ? 0 : WNOHANG) == $pid;
		kill('KILL', -$pid);    # what it may have left behind
		delete $path{$pid};
	}
	sleep(0.02);
}
print "$_ ", found($_), "\n" for @order;
