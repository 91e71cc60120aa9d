@echo off
rem The Windows twin of scripts/test: finds a Python and hands over to bootstrap.py.
setlocal
if not "%SVDLAB_PYTHON%"=="" ("%SVDLAB_PYTHON%" "%~dp0bootstrap.py" test %* & exit /b)
where py >nul 2>nul && (py -3 "%~dp0bootstrap.py" test %* & exit /b)
where python >nul 2>nul && (python "%~dp0bootstrap.py" test %* & exit /b)
echo svdlab needs Python 3.11 or newer, and none was found: winget install Python.Python.3.12 1>&2
exit /b 1
